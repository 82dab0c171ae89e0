"""State dicts from foreign files, read without running what is inside.

The one place of the project that opens pickles, and only with ``weights_only=True``: tensors,
numbers and containers are read, anything that would have to be executed is refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from model_zoo.errors import CheckpointError, NoModelError
from model_zoo.fitting import shapes_of
from model_zoo.importers.archive import check_archive, not_a_checkpoint
from model_zoo.importers.arrays import STAND_INS, Array
from model_zoo.tensor_limits import check_tensors, unsafe
from model_zoo.weights import SUFFIX, read_safetensors

CONTAINERS = ("state_dict", "model_state_dict", "state", "generator", "model")
PART = "generator."  # of a checkpoint that holds the discriminators too
WRAPPERS = ("module.", "model.", "_orig_mod.")  # of DDP, Lightning and torch.compile


def state_dict(path: Path) -> dict[str, Tensor]:
    """The generator's tensors in a checkpoint, under their plain names.

    Args:
        path: a PyTorch file, or a safetensors file of any layout.

    Raises:
        NoModelError: there is no such file, or it needs no conversion.
        CheckpointError: it is damaged, unsafe to read or holds no tensors.
    """
    if not path.is_file():
        wrong = "is a folder" if path.is_dir() else "does not exist"
        raise NoModelError(f"{path} {wrong}. Type the name of a checkpoint's file")
    if path.suffix == SUFFIX:
        tensors, texts = read_safetensors(path)
        if "architecture" in texts:
            raise NoModelError(
                f"{path} is a model of stem already. Type: stem separate SONG --model {path}"
            )
        return plain_names(tensors)
    check_archive(path)
    found = _tensors(_unwrap(_load(path)))
    if not found:
        raise CheckpointError(
            f"{path} holds no tensors by name. "
            "Save the network with torch.save(network.state_dict(), FILE) and convert that"
        )
    check_loaded(path, found)
    return plain_names(found)


def check_loaded(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors of more values than the file has bytes for, which strides of zero give.

    Args:
        path: of the file.
        tensors: that it gave, by name.

    Raises:
        CheckpointError: there are some, or tensors of another kind than networks have.
    """
    if not all(map(_is_usual, tensors.values())):
        raise unsafe(path, "its tensors are sparse, quantised or have no values")
    size = sum(value.nbytes for value in tensors.values())
    check_tensors(path, shapes_of(tensors), size, path.stat().st_size)


def _is_usual(value: Tensor) -> bool:
    is_dense = value.layout == torch.strided and not (value.is_quantized or value.is_nested)
    return is_dense and value.device.type == "cpu" and not value.is_complex()


def plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the generator without the prefixes that training adds to their names."""
    names = {name: name for name in tensors}
    while changed := _shorter(names):
        names = changed
    return {short: tensors[full] for short, full in names.items()}


def _shorter(names: Mapping[str, str]) -> dict[str, str]:
    """One prefix less, for every name; empty when there is none to take off."""
    if any(short.startswith(PART) for short in names):
        return {
            short.removeprefix(PART): full
            for short, full in names.items()
            if short.startswith(PART)
        }
    # A running average counts its updates under a name of its own.
    counted = {short: full for short, full in names.items() if short != "n_averaged"}
    for prefix in WRAPPERS:
        if counted and all(short.startswith(prefix) for short in counted):
            return {short.removeprefix(prefix): full for short, full in counted.items()}
    return counted if len(counted) < len(names) else {}


def _load(path: Path) -> Any:
    try:
        with safe_globals(STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} would have to run code to be read, which is unsafe, or is not a checkpoint. "
            "Save only its tensors with torch.save(network.state_dict(), FILE) and convert that"
        ) from error
    except Exception as error:  # a damaged pickle can fail anywhere in its reader
        raise not_a_checkpoint(path) from error


def _unwrap(content: Any) -> Any:
    """The mapping of names to tensors inside the mappings that trainers put around it."""
    while isinstance(content, Mapping) and not _tensors(content):
        inner = [content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    return content


def _tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    plain = {
        name: torch.from_numpy(value.values)
        if isinstance(value, Array) and value.values is not None
        else value
        for name, value in content.items()
        if isinstance(name, str)
    }
    return {name: value for name, value in plain.items() if isinstance(value, Tensor)}
