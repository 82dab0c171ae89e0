"""The whole state of a run on disk: tensors as safetensors, the rest as JSON in their metadata.

One file, written under a temporary name and renamed, so that a crash leaves the last good one.
Names: ``model.*`` and ``average.*`` are weights, ``optimiser.N.I.key`` is what optimiser ``N``
remembers of its parameter ``I``, ``random`` is the generator of torch.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model_zoo.errors import CheckpointError, OutputError
from trainers.loop.state import TrainState

LAST = "last.safetensors"


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    step: int
    best_sdr: float
    ema_updates: int


def save_checkpoint(state: TrainState, folder: Path) -> Path:
    """Write ``last.safetensors`` into ``folder``.

    Raises:
        OutputError: the folder cannot be written to.
    """
    progress = Progress(state.step, state.best_sdr, state.average.updates)
    target, staged = folder / LAST, folder / f"{LAST}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_tensors(state), staged, metadata={"progress": json.dumps(asdict(progress))})
        os.replace(staged, target)
    except OSError as error:
        raise OutputError(
            f"Cannot write the checkpoint {target}: {error.strerror}. Name another --output."
        ) from error
    return target


def load_checkpoint(state: TrainState, folder: Path) -> None:
    """Restore ``state`` in place from ``last.safetensors`` in ``folder``.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to another recipe.
    """
    path = folder / LAST
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            progress = Progress(**json.loads(file.metadata()["progress"]))
        _restore(state, tensors, progress)
    except FileNotFoundError as error:
        raise CheckpointError(f"No checkpoint {path}. Start the run without --resume.") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
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
        memories: dict[int, dict[str, Any]] = {}
        for name, value in _below(tensors, f"optimiser.{number}.").items():
            index, _, key = name.partition(".")
            memories.setdefault(int(index), {})[key] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": memories, "param_groups": groups})
    torch.set_rng_state(tensors["random"])
    state.step, state.best_sdr = progress.step, progress.best_sdr
    state.average.updates = progress.ema_updates


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
