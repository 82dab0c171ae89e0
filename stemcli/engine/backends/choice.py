"""Chooses the backend of a network, and its precision."""

from __future__ import annotations

from typing import cast

import torch

from stemcli.engine.backends.base import (
    BackendChoice,
    BackendName,
    is_installed,
    require_backend,
)
from stemcli.engine.backends.measuring import fastest, kept
from stemcli.engine.device import Precision, resolve_precision

NOT_MEASURED = "no backend was measured"


def choose_backend(
    name: str, precision: str, device: torch.device, sha256: str, needs_float32: bool = False
) -> tuple[BackendChoice, Precision]:
    """The backend called ``name``; ``auto`` is the fastest that was measured, else torch.

    Args:
        name: ``auto`` or a backend.
        precision: ``auto`` or a precision.
        device: where the network will run.
        sha256: of its weights; empty if they are not from a file.
        needs_float32: whether ``auto`` must select float32 for this network.

    Raises:
        MissingExtraError: the backend is not installed.
        DeviceError: the backend does not run on the device.
        UsageError: the backend does not compute in this precision.
    """
    if name != "auto":
        chosen = cast(BackendName, name)
        require_backend(chosen, device, precision)
        if chosen == "onnxruntime":
            return BackendChoice(chosen), Precision("fp32", "ONNX Runtime computes in it")
        return BackendChoice(chosen), resolve_precision(precision, device, needs_float32)
    resolved = resolve_precision(precision, device, needs_float32)
    best = fastest(kept(device, sha256), precision, is_installed)
    if best is None:
        return BackendChoice("torch", NOT_MEASURED), resolved
    reason = f"the fastest measured here, {best.speed:.1f}x real time"
    if precision == "auto":
        resolved = Precision(best.precision, reason)
    return BackendChoice(best.backend, reason), resolved
