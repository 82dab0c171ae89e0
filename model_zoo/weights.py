"""Reads and writes trained weights: safetensors with the config in their metadata.

The metadata of a separator's file are ``architecture``, ``config`` (JSON), ``residual`` and any
other texts; those of discriminators are ``ensemble``, the JSON of
:class:`~model_zoo.discriminators.ensemble.EnsembleSpec`. A file can be used without a card.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model_zoo import registry
from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.files import sha256, staged
from model_zoo.option_names import convert_command
from model_zoo.parsing import parse_json, shortened, shown
from model_zoo.separator import Separator
from model_zoo.weight_checks import (
    Shape,
    check_tensors,
    damaged,
    ensemble_on_meta,
    misfits,
    require_fit,
    require_room,
    shapes_of,
)

__all__ = [
    "Weights",
    "build",
    "load_tensors",
    "read",
    "save",
]

HEADER_LENGTH = 8
"""Size of the header's length at the start of a file, in bytes."""

MOST_HEADER = 16 * 2**20
"""Largest header in bytes; that of a file with 20,000 tensors has three million."""


class Weights(NamedTuple):
    """Content of a weights file.

    Attributes:
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        config: arguments of that architecture.
        tensors: tensors by their names in the state dict.
        metadata: all metadata of the file, including those two.
        network: the network on the device "meta", without storage.
    """

    architecture: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    network: Separator


def build(path: Path, content: Weights) -> Separator:
    """Build the network of a weights file, in float32 and in evaluation mode.

    Raises:
        CheckpointError: a forward pass of one segment would need an absurd amount of memory.
    """
    require_room(str(path), content.network)
    with torch.random.fork_rng(
        devices=[]
    ):  # initialization must not advance the caller's generator
        separator = registry.build(content.architecture, content.config)
    separator.load_state_dict(content.tensors)
    return separator.float().eval()


def read(path: str | os.PathLike[str]) -> Weights:
    """Read a file that :func:`save` wrote; its tensors are read only if they fit its config.

    Raises:
        CheckpointError: the file is missing, damaged or has no config inside.
    """
    with _opened(Path(path)) as file:
        metadata = dict(file.metadata() or {})
        architecture, config = _network(path, metadata)
        network = require_fit(str(path), architecture, config, _shapes(file))
        return Weights(architecture, config, _tensors(file), metadata, network)


def read_network(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Read architecture and config of a file that :func:`save` wrote, without its tensors.

    Raises:
        CheckpointError: the file is missing, damaged or has no config inside.
    """
    with _opened(Path(path)) as file:
        return _network(path, dict(file.metadata() or {}))


def _network(
    path: str | os.PathLike[str], metadata: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    try:
        config = parse_json(metadata.get("config", "null"))
    except json.JSONDecodeError:
        config = None
    except ValueError as error:
        raise damaged(str(path), f"its config: {shortened(str(error))}") from error
    if "architecture" not in metadata or not isinstance(config, dict):
        raise CheckpointError(
            f"{path} does not say which network it belongs to. Try: {convert_command(str(path))}"
        )
    return metadata["architecture"], config


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of any safetensors file.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return _tensors(file), dict(file.metadata() or {})


def read_header(path: Path) -> tuple[dict[str, Shape], dict[str, str]]:
    """Read names and shapes of the tensors of any safetensors file, and its metadata.

    The tensors are not read.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return _shapes(file), dict(file.metadata() or {})


def _shapes(file: Any) -> dict[str, Shape]:
    return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _tensors(file: Any) -> dict[str, Tensor]:
    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        _require_header(path)
        with safe_open(path, framework="pt") as file:
            size = (
                path.stat().st_size
            )  # safetensors refuses files whose tensors overlap or leave gaps
            check_tensors(path, _shapes(file), size, size)
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist. Try: stem models list") from error
    except MemoryError as error:
        raise damaged(str(path), "or it is too large for the memory of this machine") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or is not a safetensors file ({shortened(str(error), 200)}). "
            "Copy or convert it again"
        ) from error


def _require_header(path: Path) -> None:
    """Refuse files that are not regular, and headers that would take long to read.

    A file begins with the length of its header in 8 bytes (github.com/huggingface/safetensors,
    "Format").
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a regular file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MOST_HEADER:
        raise OSError(f"its header has {length:,} bytes")


def save(
    path: str | os.PathLike[str],
    separator: Separator,
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> str:
    """Write weights and config of a separator; returns the SHA-256 of the file.

    The file appears under its name only when it is complete.

    Args:
        path: output file; missing folders are created.
        separator: network of a registered class.
        metadata: more texts, e.g. ``{"residual": "instrumental"}``.
        half: store parameters in float16; loading converts them to float32.

    Raises:
        OutputError: the file cannot be written.
    """
    described = {
        "residual": "",
        **(metadata or {}),
        "architecture": registry.name_of(separator),
        "config": json.dumps(separator.config.to_dict()),
    }
    return write_safetensors(Path(path), _plain_tensors(separator, half), described)


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Write tensors and metadata, complete or not at all; returns the SHA-256 of the file.

    Raises:
        OutputError: the file cannot be written.
    """
    with staged(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise _reason(error) from error
        _sort_metadata(temporary)
        return sha256(temporary)


def _reason(error: SafetensorError) -> OSError:
    """The system's error, which safetensors reports as text: ``... (os error 28)``."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(error)


def _sort_metadata(path: Path) -> None:
    """Sort the metadata of a file, so that equal content has equal bytes.

    safetensors writes them in the order of a hash map, which differs between processes. The header
    is JSON preceded by its length, https://huggingface.co/docs/safetensors#format; spaces at its
    end are allowed.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(HEADER_LENGTH), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= length, "the same texts as compact as before"
        file.seek(HEADER_LENGTH)
        file.write(text.ljust(length))


def load_tensors(separator: Separator, tensors: Mapping[str, Tensor], *, origin: str) -> None:
    """Copy tensors into a separator; names and shapes must match exactly.

    Raises:
        CheckpointError: tensors are missing, unknown or of another shape; the message names them.
    """
    differences = misfits(separator, shapes_of(tensors))
    if differences:
        raise CheckpointError(
            f"{origin} does not fit {type(separator).__name__}: {'; '.join(differences)}. "
            "Convert it again with the options it was trained with"
        )
    separator.load_state_dict(dict(tensors))


def _plain_tensors(separator: Separator, half: bool) -> dict[str, Tensor]:
    trainable = {name for name, _ in separator.named_parameters()}
    return {
        name: (tensor.half() if half and name in trainable else tensor).detach().cpu().contiguous()
        for name, tensor in separator.state_dict().items()
    }


DISCRIMINATOR = "discriminator.safetensors"
"""Name of the discriminators' file in a run folder."""

KEY = "ensemble"
ADVICE = f"Use the {DISCRIMINATOR} of a run whose recipe has adversary.discriminators"


def save_discriminator(
    path: str | os.PathLike[str], ensemble: DiscriminatorEnsemble, spec: EnsembleSpec
) -> str:
    """Write discriminators and the spec they were built from; returns the SHA-256 of the file.

    The file appears under its name only when it is complete.

    Args:
        path: output file; missing folders are created.
        ensemble: trained discriminators, built by ``spec.build()``.
        spec: their spec, from which :func:`load_discriminator` builds them.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in ensemble.state_dict().items()
    }
    return write_safetensors(Path(path), tensors, {KEY: json.dumps(spec.to_dict())})


def load_discriminator(
    path: str | os.PathLike[str],
) -> tuple[DiscriminatorEnsemble, EnsembleSpec]:
    """Load trained discriminators, in evaluation mode, and their spec.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else or does not fit its own
            spec.
    """
    path = Path(path)
    if not path.is_file():
        wrong = "is not a regular file" if path.exists() else "does not exist"
        raise CheckpointError(f"{path} {wrong}. {ADVICE}")
    shapes, metadata = read_header(path)
    spec = _described(path, metadata)
    different = misfits(_ensemble_on_meta(path, spec), shapes)
    if different:
        raise CheckpointError(
            f"{path} does not fit the discriminators that it describes: "
            f"{'; '.join(different)}. {ADVICE}"
        )
    with torch.random.fork_rng(
        devices=[]
    ):  # initialization must not advance the caller's generator
        ensemble = spec.build()
    ensemble.load_state_dict(read_safetensors(path)[0])
    return ensemble.float().eval(), spec


def _described(path: Path, metadata: Mapping[str, str]) -> EnsembleSpec:
    """Parse the spec in the metadata of a file."""
    if KEY not in metadata:
        held = metadata.get("architecture")
        what = f"the network {shown(held)}, not discriminators" if held else "no discriminators"
        raise CheckpointError(f"{path} holds {what}. {ADVICE}")
    try:
        spec = EnsembleSpec.from_dict(_mapping(metadata[KEY]))
    except ConfigError as error:
        raise _unknown(path, error) from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"The description of the discriminators in {path} cannot be used "
            f"({shortened(str(error))}). {ADVICE}"
        ) from error
    if not spec.names:
        raise CheckpointError(f"{path} does not name any discriminators. {ADVICE}")
    return spec


def _ensemble_on_meta(path: Path, spec: EnsembleSpec) -> DiscriminatorEnsemble:
    try:
        return ensemble_on_meta(spec)
    except ConfigError as error:
        raise _unknown(path, error) from error


def _unknown(path: Path, error: ConfigError) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged or needs discriminators that this version does not have: "
        f"{shortened(str(error), 300)}. {ADVICE}"
    )


def _mapping(text: str) -> dict[str, Any]:
    values = parse_json(text)
    if not isinstance(values, dict):
        raise TypeError(f"{shown(values)} is not a mapping of keys to values")
    return values
