"""Writes and reads the resumable state of a run, and its weights and summary.

A checkpoint is one file, written under a temporary name and renamed, so that a crash leaves the
last good one.
Names: ``model.*``, ``ema.*`` and ``discriminator.*`` are weights and buffers,
``optimizer.NETWORK.N.I.key`` is the state of optimizer ``N`` of a network for its parameter ``I``,
``random.*`` are the generators of torch of the first worker. The metadata have ``format``,
``progress`` and ``scalers``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from model_zoo import weights
from model_zoo.catalogue.install import Summary
from model_zoo.catalogue.resolve import BEST, LAST, SUMMARY, no_run
from model_zoo.errors import CheckpointError, NumericalError
from model_zoo.files import staged
from model_zoo.introspection import build_on_meta
from model_zoo.ops.tensors import split_like
from model_zoo.parsing import parse_json, shown
from model_zoo.separator import Separator
from model_zoo.shell import quoted
from model_zoo.weight_checks import misfits, shapes_of
from model_zoo.weights import (
    DISCRIMINATOR,
    MOST_HEADER,
    read_header,
    read_safetensors,
    save_discriminator,
    write_safetensors,
)
from trainers.config import ModelRecipe
from trainers.data.training_data import TrainingData
from trainers.loop.execution import Strategy, shard_tensors_like
from trainers.loop.optimizer import NetworkOptimizer
from trainers.loop.state import TrainingProgress, TrainState, ensemble_spec
from trainers.loop.step import TrainingTask

T = TypeVar("T")

FORMAT = "2"
"""Format of checkpoints. Format 1 had no such entry, other tensor names and other recipe keys."""

MOST_COPIES = 16
"""Upper bound of a checkpoint's size, in copies of the networks (weights, EMA, optimizers)."""

MOST_STEPS = 2**53
"""Largest step count: optimizers count in floats, which are exact up to here."""


def save_checkpoint(state: TrainState, folder: Path, strategy: Strategy) -> None:
    """Write ``last.safetensors`` into ``folder``.

    All workers call this at the same point; rank 0 writes whole tensors, so that a run can be
    resumed with any number of workers.

    Raises:
        NumericalError: a weight is not finite; the previous checkpoint is kept.
        OutputError: the folder is not writable.
    """
    tensors = strategy.gather(_tensors(state))
    if strategy.rank > 0:
        return
    _require_finite(tensors, state.progress.step)
    scalers = {name: optimizer.scaler.state_dict() for name, optimizer in state.optimizers.items()}
    counters = asdict(state.progress) | {"ema_updates": state.ema.updates}
    texts = {
        "format": FORMAT,
        "progress": json.dumps(counters),
        "scalers": json.dumps(scalers),
    }
    write_safetensors(folder / LAST, tensors, texts)


def check_checkpoint(model: ModelRecipe, folder: Path) -> None:
    """Check that a checkpoint fits the network of a recipe, before memory is allocated.

    Raises:
        UsageError: there is none.
        CheckpointError: it is damaged, or it belongs to another network.
    """
    path = folder / LAST
    if not path.exists():
        raise no_run(folder)
    shapes, texts = _reading(path, read_header)
    require_format(folder, texts)
    found = _below(shapes, "ema.")
    if not found:
        raise _not_a_checkpoint(path)
    different = misfits(build_on_meta(model.architecture, model.options), found)
    if different:
        raise _unfit(path, "; ".join(different))


def require_format(folder: Path, texts: Mapping[str, str] | None = None) -> None:
    """Refuse a checkpoint in another format; a folder without a checkpoint passes.

    Args:
        folder: folder of the run.
        texts: metadata of the checkpoint, if they have been read.

    Raises:
        CheckpointError: it has another format, or it is damaged.
    """
    if texts is None:
        if not (folder / LAST).is_file():
            return
        _, texts = _reading(folder / LAST, read_header)
    if "progress" not in texts or texts.get("format") == FORMAT:
        return
    found = texts.get("format", "1")
    is_earlier = found.isdecimal() and int(found) < int(FORMAT)
    version = "an earlier" if is_earlier else "a later"
    raise CheckpointError(
        f"{folder} was trained by {version} version of Stem and cannot be resumed: "
        f"start from its weights with --from {quoted(folder)} and another --output"
    )


def load_checkpoint(state: TrainState, folder: Path) -> None:
    """Restore ``state`` in place from ``last.safetensors`` in ``folder``.

    Raises:
        UsageError: there is none.
        CheckpointError: it is damaged, or it belongs to another recipe.
    """
    path = folder / LAST
    if not path.exists():
        raise no_run(folder)
    _require_size(path, state)
    tensors, texts = _reading(path, read_safetensors)
    require_format(folder, texts)
    # Optimizers keep the tensors, and Windows replaces no file whose content is mapped.
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    missing = [name for name in ("progress", "scalers") if name not in texts]
    if missing:
        raise _not_a_checkpoint(path)
    try:
        _restore(state, tensors, parse_json(texts["progress"]), parse_json(texts["scalers"]))
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise _unfit(path, _shorten(error)) from error


def _reading(path: Path, read: Callable[[Path], T]) -> T:
    try:
        return read(path)
    except CheckpointError as error:
        cause = " ".join(str(error.__cause__ or error).split())
        raise CheckpointError(
            f"{path} is damaged ({cause}). {_start_again(path.parent)}"
        ) from error


def _not_a_checkpoint(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is not the checkpoint of a run. {_start_again(path.parent)}")


def _unfit(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} does not fit this recipe or is damaged: {why}. "
        "Leave out --recipe and --set to continue with the run's own recipe"
    )


def _require_size(path: Path, state: TrainState) -> None:
    """Refuse a file that is larger than any checkpoint of the run, before it is read.

    Raises:
        CheckpointError: the file is too large.
    """
    networks = [optimizer.network for optimizer in state.optimizers.values()]
    held = sum(
        value.numel() * value.element_size()
        for network in networks
        for value in network.state_dict().values()
    )
    if path.stat().st_size > MOST_COPIES * held + MOST_HEADER:
        raise _unfit(path, f"it has {path.stat().st_size:,} bytes")


def _tensors(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    networks = {name: optimizer.network for name, optimizer in state.optimizers.items()}
    for prefix, network in {**networks, "ema": state.ema.model}.items():
        for name, value in network.state_dict().items():
            yield f"{prefix}.{name}", value
    for name, optimizer in state.optimizers.items():
        for number, part in enumerate(optimizer.optimizers):
            for index, values in part.state_dict()["state"].items():
                for key, value in values.items():
                    yield f"optimizer.{name}.{number}.{index}.{key}", torch.as_tensor(value)
    yield "random.cpu", torch.get_rng_state()
    device = next(state.separator.parameters()).device
    if device.type == "cuda":
        yield "random.cuda", torch.cuda.get_rng_state(device)


def _restore(
    state: TrainState,
    tensors: dict[str, Tensor],
    progress: dict[str, Any],
    scalers: dict[str, dict[str, Any]],
) -> None:
    if scalers.keys() != state.optimizers.keys():
        raise ValueError(
            f"it has {' and '.join(scalers)}, the recipe {' and '.join(state.optimizers)}"
        )
    _require_counters(progress)
    state.ema.updates = progress.pop("ema_updates")
    state.progress = TrainingProgress(**progress)
    _restore_network(state.ema.model, _below(tensors, "ema."))
    for name, optimizer in state.optimizers.items():
        _restore_network(optimizer.network, _below(tensors, f"{name}."))
        if scalers[name]:  # empty where the checkpoint was not written in float16
            optimizer.scaler.load_state_dict(scalers[name])
        _restore_optimizer(optimizer, _below(tensors, f"optimizer.{name}."))
    torch.set_rng_state(tensors["random.cpu"])
    device = next(state.separator.parameters()).device
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)


def _require_counters(progress: dict[str, Any]) -> None:
    """Refuse counters that are not counts, and scores that are NaN."""
    for name, value in progress.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"its counter {name} is {shown(value)}")
        is_score = isinstance(value, float) and name in ("best_sdr", "mark")
        if math.isnan(value) if is_score else not _is_count(value):
            raise ValueError(f"its counter {name} is {shown(value)}")


def _is_count(value: float) -> bool:
    return 0 <= value < MOST_STEPS and value == int(value)


def _restore_network(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    different = misfits(network, shapes_of(tensors))
    if different:
        raise ValueError("; ".join(different))
    network.load_state_dict(shard_tensors_like(tensors, network.state_dict()))


def _restore_optimizer(optimizer: NetworkOptimizer, tensors: dict[str, Tensor]) -> None:
    for number, part in enumerate(optimizer.optimizers):
        parameters = [value for group in part.param_groups for value in group["params"]]
        memories = _optimizer_states(_below(tensors, f"{number}."), parameters)
        groups = part.state_dict()["param_groups"]
        part.load_state_dict({"state": memories, "param_groups": groups})


def _optimizer_states(
    tensors: dict[str, Tensor], parameters: list[nn.Parameter]
) -> dict[int, dict[str, Tensor]]:
    """Optimizer state by parameter index; checks shapes, which torch does not."""
    memories: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition(".")
        index = int(number)
        if not 0 <= index < len(parameters) or (
            value.ndim and value.shape != parameters[index].shape
        ):
            raise ValueError("it was written with another optimizer")
        if key == "step" and not _is_count(float(value)):
            raise ValueError(f"its optimizer took {float(value):g} steps")
        part = split_like(value, parameters[index]) if value.ndim else value
        memories.setdefault(index, {})[key] = part
    return memories


def _below(tensors: Mapping[str, T], prefix: str) -> dict[str, T]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _require_finite(tensors: dict[str, Tensor], step: int) -> None:
    """Refuse to overwrite the last good checkpoint with NaN or infinity."""
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise NumericalError(f"{name} is not finite after step {step}")


def _start_again(folder: Path) -> str:
    return (
        f"Use another --output without --resume; --from {quoted(folder / BEST)} "
        "starts from the best weights"
    )


def _shorten(error: Exception) -> str:
    """Shorten an error of torch, which may have a line for every tensor."""
    return " ".join(str(error).split("\n")[:2]).strip().replace("\t", "")


class BestWeights:
    """Writes the results of a run: best weights, discriminators and summary.

    Args:
        task: task of the run.
        data: training data of the run.
        data_name: name of the data in the summary.
        folder: folder of the run.
        strategy: workers of the run; rank 0 writes.
    """

    def __init__(
        self,
        task: TrainingTask,
        data: TrainingData,
        data_name: str,
        folder: Path,
        strategy: Strategy,
    ) -> None:
        self.recipe, self.measure = task.recipe, task.objective.measure
        self.found, self.data_name = data, data_name
        self.folder, self.worker = folder, strategy

    def keep(self, state: TrainState, scores: dict[str, float]) -> None:
        """Write the averaged weights as the best so far.

        All workers call this at the same point.

        Raises:
            OutputError: the folder is not writable.
        """
        tensors = self.worker.gather(state.ema.model.state_dict().items())
        if self.worker.rank > 0:
            return
        metadata = {
            "residual": self.recipe.model.residual,
            "objective": self.recipe.objective.name,
        }
        weights.save(self.folder / BEST, self._network(tensors), metadata, half=True)
        if state.discriminator:
            spec = ensemble_spec(self.recipe, state.separator.sample_rate)
            save_discriminator(self.folder / DISCRIMINATOR, state.discriminator, spec)
        summary = Summary(
            recipe=self.recipe.name,
            step=state.progress.step,
            best_mean=sum(scores.values()) / len(scores) if scores else None,
            sdr=scores,
            songs=self.found.songs,
            validation_songs=len(self.found.validation),
            data=self.data_name,
            score=self.measure.word,
            definition=self.measure.definition,
        )
        write_json(self.folder / SUMMARY, summary.to_dict())

    def _network(self, tensors: dict[str, Tensor]) -> Separator:
        """The network of the recipe with the given tensors, without copying them."""
        network = build_on_meta(self.recipe.model.architecture, self.recipe.model.options)
        network.load_state_dict(tensors, assign=True)
        return network


def write_json(path: Path, values: dict[str, object]) -> None:
    """Write plain values as JSON; the file is complete or absent.

    Raises:
        OutputError: the file cannot be written.
    """
    with staged(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2), "utf-8")
