"""The whole state of a run on disk: tensors as safetensors, the rest as JSON in their metadata.

One file, written under a temporary name and renamed, so that a crash leaves the last good one.
Names: ``model.*`` and ``average.*`` are weights, ``optimiser.N.I.key`` is what optimiser ``N``
remembers of its parameter ``I``, ``random`` is the generator of torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model_zoo.errors import CheckpointError
from model_zoo.weights import read_safetensors, write_safetensors
from trainers.loop.state import TrainState

LAST = "last.safetensors"


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        best_sdr: best validation SDR so far, in dB.
        ema_updates: updates of the averaged weights.
    """

    step: int
    best_sdr: float
    ema_updates: int


def save_checkpoint(state: TrainState, folder: Path) -> Path:
    """Write ``last.safetensors`` into ``folder``.

    Raises:
        OutputError: the folder cannot be written to.
    """
    progress = Progress(state.step, state.best_sdr, state.average.updates)
    target = folder / LAST
    write_safetensors(target, _tensors(state), {"progress": json.dumps(asdict(progress))})
    return target


def load_checkpoint(state: TrainState, folder: Path) -> None:
    """Restore ``state`` in place from ``last.safetensors`` in ``folder``.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to another recipe.
    """
    path = folder / LAST
    if not path.exists():
        raise CheckpointError(f"No checkpoint {path}. Start the run without --resume.")
    tensors, texts = read_safetensors(path)
    try:
        _restore(state, tensors, Progress(**json.loads(texts["progress"])))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} does not fit this recipe or is damaged: {error}. "
            "Resume with the run's own recipe."
        ) from error


def _tensors(state: TrainState) -> dict[str, Tensor]:
    tensors = {f"model.{k}": v for k, v in state.model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.model.state_dict().items()}
    for number, optimiser in enumerate(state.optimisers):
        for index, memory in optimiser.state_dict()["state"].items():
            for key, value in memory.items():
                tensors[f"optimiser.{number}.{index}.{key}"] = torch.as_tensor(value)
    tensors["random"] = torch.get_rng_state()
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _restore(state: TrainState, tensors: dict[str, Tensor], progress: Progress) -> None:
    state.model.load_state_dict(_below(tensors, "model."))
    state.average.model.load_state_dict(_below(tensors, "average."))
    for number, optimiser in enumerate(state.optimisers):
        groups = optimiser.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        memories = _memories(_below(tensors, f"optimiser.{number}."), parameters)
        plain_groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": memories, "param_groups": plain_groups})
    torch.set_rng_state(tensors["random"])
    state.step, state.best_sdr = progress.step, progress.best_sdr
    state.average.updates = progress.ema_updates


def _memories(
    tensors: dict[str, Tensor], parameters: list[nn.Parameter]
) -> dict[int, dict[str, Tensor]]:
    """What an optimiser remembers of each parameter; torch itself would take any shape."""
    memories: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        index = int(number)
        if index >= len(parameters) or (value.ndim and value.shape != parameters[index].shape):
            raise ValueError("another optimiser wrote it")
        memories.setdefault(index, {})[key] = value
    return memories


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
