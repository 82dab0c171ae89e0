"""The contract of a backend, and the choice of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, Protocol, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.errors import DeviceError, UsageError
from model_zoo.export.extras import require_packages
from model_zoo.option_names import setting
from model_zoo.separator import Separator
from stemcli.engine.device import Precision

BackendName = Literal["torch", "compile", "onnxruntime", "openvino"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

EXTRAS: dict[BackendName, str] = {"onnxruntime": "onnx", "openvino": "openvino"}
"""Backends beside torch, each named like its package, and the extra of Stem that installs it."""


PRECISIONS: dict[BackendName, tuple[str, ...]] = {
    "onnxruntime": ("fp32",),
    "openvino": ("fp32", "bf16"),
}
"""Precisions that backends beside torch compute in."""


class Backend(Protocol):
    """A backend that has a network on a device."""

    def run(
        self, items: Float[Tensor, "item channel time"]
    ) -> Float[Tensor, "item stem channel time"]:
        """Stems of a batch on the CPU, in float32."""


@dataclass(frozen=True)
class BackendChoice:
    """A backend, and why it was chosen.

    Attributes:
        name: of the backend.
        reason: one clause for the user.
    """

    name: BackendName
    reason: str = "requested"


def packages(name: BackendName) -> tuple[str, ...]:
    """Packages that a backend needs beside torch: its own, and those that write ONNX."""
    return (name, "onnx", "onnxruntime", "onnxscript") if name in EXTRAS else ()


def is_installed(name: BackendName) -> bool:
    """Whether all packages of a backend are installed."""
    return all(find_spec(package) for package in packages(name))


def require_backend(name: BackendName, device: torch.device, precision: str) -> None:
    """Check that a backend is installed, runs on a device and computes in a precision.

    Raises:
        MissingExtraError: it is not installed.
        DeviceError: it does not run there.
        UsageError: it does not compute in this precision.
    """
    if name not in EXTRAS:
        return
    require_packages(*packages(name), extra=EXTRAS[name])
    if device.type != "cpu":
        raise DeviceError(
            f"{name} computes on the processor, not on {device}. Use {setting(device='cpu')}, or"
            f" {setting(backend='torch')}"
        )
    if precision not in ("auto", *PRECISIONS[name]):
        raise UsageError(
            f"{name} computes in {' or '.join(PRECISIONS[name])}, not in {precision}. Use"
            f" {setting(precision=PRECISIONS[name][0])}, or {setting(backend='torch')}"
        )


def open_backend(
    name: BackendName,
    separator: Separator,
    device: torch.device,
    precision: Precision,
    sha256: str,
) -> Backend:
    """Prepare a backend for a network.

    Args:
        name: of the backend.
        separator: the network, on ``device``.
        device: where it runs.
        precision: in which it runs.
        sha256: of the weights; names the file that another backend than torch reads.

    Raises:
        ExportError: the network cannot be exported for this backend.
    """
    from stemcli.engine.backends.torch import CompiledBackend, TorchBackend

    if name in EXTRAS:
        from stemcli.engine.backends.exported import open_exported

        return open_exported(name, separator, precision, sha256)
    kind: Callable[..., Backend] = CompiledBackend if name == "compile" else TorchBackend
    return kind(separator, device, precision)
