"""What is saved beside the weights: plain values and tensors in files of torch."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from model_zoo.errors import CheckpointError
from model_zoo.files import staged
from model_zoo.importers.archive import check_archive
from model_zoo.importers.pickles import check_loaded
from model_zoo.plain import require_bounded, shown


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a file that is either complete or not there.

    Raises:
        OutputError: it cannot be written.
    """
    with staged(path) as temporary:
        torch.save(state, temporary)


@contextmanager
def reading(path: Path, part: str) -> Iterator[Any]:
    """What :func:`write_state` wrote, for a block that takes it in; no code in it is ever run.

    Args:
        path: of the file.
        part: the argument of ``save`` that writes such files.

    Raises:
        CheckpointError: there is no such file, it is damaged, or the block finds that it does not
            fit.
    """
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        check_loaded(path, dict(_tensors(require_bounded(state))))
    except FileNotFoundError as error:
        advice = f"check save_dir and the step, or save(..., {part}=True) before"
        raise CheckpointError(f"{path} does not exist: {advice}") from error
    except (
        pickle.UnpicklingError,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        CheckpointError,
    ) as error:
        raise CheckpointError(f"{path} is damaged or was not saved by this class") from error
    try:
        yield state
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not fit this config: {error}") from error


def _tensors(state: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in mappings and lists, each by its keys and places."""
    waiting: list[tuple[str, Any]] = [("state", state)]
    while waiting:
        name, value = waiting.pop()
        if torch.is_tensor(value):
            yield name, value
        elif isinstance(value, Mapping):
            waiting += [(f"{name}.{shown(key)}", inner) for key, inner in value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [(f"{name}.{place}", inner) for place, inner in enumerate(value)]


def require_fit(optimiser: torch.optim.Optimizer, memory: Mapping[str, Any]) -> None:
    """Refuse what an optimiser of other parameters remembered; torch itself would take any shape.

    Raises:
        ValueError: it does not fit.
    """
    parameters = [value for group in optimiser.param_groups for value in group["params"]]
    for index, values in memory["state"].items():
        tensors = [value for value in values.values() if torch.is_tensor(value) and value.ndim]
        if index >= len(parameters) or any(
            value.shape != parameters[index].shape for value in tensors
        ):
            raise ValueError("another network's optimiser wrote it")
