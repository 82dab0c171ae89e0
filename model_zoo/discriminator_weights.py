"""Trained discriminators in and out: safetensors with their spec in the metadata.

The text ``ensemble`` of the metadata is the JSON of
:meth:`~model_zoo.discriminators.ensemble.EnsembleSpec.to_dict`, so a file is complete in itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.plain import parse_json
from model_zoo.weights import misfits, read_safetensors, write_safetensors

DISCRIMINATOR = "discriminator.safetensors"
"""What a run calls its file."""

KEY = "ensemble"
ADVICE = f"Name the {DISCRIMINATOR} of a run whose recipe has adversary.discriminators"


def save_discriminator(
    path: str | os.PathLike[str], ensemble: DiscriminatorEnsemble, spec: EnsembleSpec
) -> str:
    """Write an ensemble and the spec it was built from; return the SHA-256 of the file.

    The file appears under its name only when it is complete.

    Args:
        path: where to; missing folders are made.
        ensemble: what ``spec.build()`` made, trained since.
        spec: what :func:`load_discriminator` builds it from again.

    Raises:
        OutputError: the file cannot be written there.
    """
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in ensemble.state_dict().items()
    }
    return write_safetensors(Path(path), tensors, {KEY: json.dumps(spec.to_dict())})


def load_discriminator(
    path: str | os.PathLike[str],
) -> tuple[DiscriminatorEnsemble, EnsembleSpec]:
    """An ensemble with trained weights, in evaluation mode, and its spec.

    Raises:
        CheckpointError: the file is missing, damaged, holds something else or does not fit its own
            spec.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is no file. {ADVICE}")
    tensors, metadata = read_safetensors(path)
    spec, ensemble = _build(path, metadata)
    differences = misfits(ensemble, tensors)
    if differences:
        raise CheckpointError(
            f"{path} does not fit the discriminators that it describes: "
            f"{'; '.join(differences)}. {ADVICE}"
        )
    ensemble.load_state_dict(tensors)
    return ensemble.float().eval(), spec


def _build(path: Path, metadata: dict[str, str]) -> tuple[EnsembleSpec, DiscriminatorEnsemble]:
    """What a file describes; its random start leaves the caller's generator alone."""
    if KEY not in metadata:
        held = metadata.get("architecture")
        what = f"the network {held!r}, no" if held else "no"
        raise CheckpointError(f"{path} holds {what} discriminators. {ADVICE}")
    try:
        spec = EnsembleSpec.from_dict(_mapping(metadata[KEY]))
        if not spec.names:
            raise CheckpointError(f"{path} names no discriminators. {ADVICE}")
        with torch.random.fork_rng(devices=[]):
            return spec, spec.build()
    except ConfigError as error:
        raise CheckpointError(
            f"{path} needs discriminators that this version does not have: {error}. {ADVICE}"
        ) from error
    except (RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"What {path} says of its discriminators cannot be used ({reason}). {ADVICE}"
        ) from error


def _mapping(text: str) -> dict[str, Any]:
    values = parse_json(text)
    if not isinstance(values, dict):
        raise TypeError(f"{text!r} is no mapping of keys to values")
    return values
