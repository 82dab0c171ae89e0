"""Chooses the engine of a network."""

from __future__ import annotations

from typing import cast

import torch

from stemcli.engine.backends.base import BackendChoice, BackendName, require_backend
from stemcli.engine.device import Precision


def choose_backend(
    name: str, device: torch.device, sha256: str, precision: Precision
) -> BackendChoice:
    """The engine called ``name``; ``auto`` is the fastest that was measured, else torch.

    Args:
        name: ``auto`` or an engine.
        device: where the network will run.
        sha256: of its weights.
        precision: in which it will run.

    Raises:
        MissingExtraError: the engine is not installed.
        DeviceError: the engine does not run on the device.
    """
    if name == "auto":
        return BackendChoice("torch", "not measured")
    chosen = cast(BackendName, name)
    require_backend(chosen, device)
    return BackendChoice(chosen)
