"""Trained discriminators in and out: safetensors with their spec in the metadata.

The text ``ensemble`` of the metadata is the JSON of
:meth:`~model_zoo.discriminators.ensemble.EnsembleSpec.to_dict`, so a file is complete in itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from model_zoo.discriminator_limits import weightless_ensemble
from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.fitting import misfits
from model_zoo.plain import parse_json, shortened, shown
from model_zoo.weights import read_header, read_safetensors, write_safetensors

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
        wrong = "is not a regular file" if path.exists() else "does not exist"
        raise CheckpointError(f"{path} {wrong}. {ADVICE}")
    shapes, metadata = read_header(path)
    spec = _described(path, metadata)
    different = misfits(_weightless(path, spec), shapes)
    if different:
        raise CheckpointError(
            f"{path} does not fit the discriminators that it describes: "
            f"{'; '.join(different)}. {ADVICE}"
        )
    with torch.random.fork_rng(devices=[]):  # fresh weights leave the caller's generator alone
        ensemble = spec.build()
    ensemble.load_state_dict(read_safetensors(path)[0])
    return ensemble.float().eval(), spec


def _described(path: Path, metadata: Mapping[str, str]) -> EnsembleSpec:
    """The discriminators that a file says it holds."""
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


def _weightless(path: Path, spec: EnsembleSpec) -> DiscriminatorEnsemble:
    try:
        return weightless_ensemble(spec)
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
