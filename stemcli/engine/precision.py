"""In which arithmetic the network runs, and why."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A choice with its reason.

    Attributes:
        name: ``fp32``, ``bf16`` or ``fp16``.
        reason: one clause for the user, e.g. ``"this CPU has AVX512_BF16"``.
    """

    name: str
    reason: str

    @property
    def is_reduced(self) -> bool:
        """Whether something coarser than float32 is used."""
        return self.name != "fp32"

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """Run matrix products and convolutions in this precision; transforms stay float32."""
        if not self.is_reduced:
            return nullcontext()
        return torch.autocast(device.type, _TYPES[self.name])


def resolve_precision(name: str, device: torch.device, needs_float32: bool = False) -> Precision:
    """The precision called ``name``; ``auto`` takes bf16 where the processor computes it natively.

    Args:
        name: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        device: where the network will run.
        needs_float32: whether it is one for which ``auto`` takes nothing coarser.
    """
    if name != "auto":
        return Precision(name, "asked for")
    if needs_float32:
        return Precision("fp32", "bf16 is too coarse for this network")
    if device.type == "cuda":
        return _on_cuda(device)
    if device.type == "cpu":
        return _on_cpu()
    return Precision("fp32", f"bf16 is not trusted on {device.type}")


def _on_cuda(device: torch.device) -> Precision:
    major, minor = torch.cuda.get_device_capability(device)
    found = f"this GPU has compute capability {major}.{minor}"
    return Precision("bf16", found) if major >= 8 else Precision("fp32", f"{found}, bf16 needs 8.0")


def _on_cpu() -> Precision:
    # Public names for these (torch.cpu.get_capabilities) are younger than the oldest torch allowed.
    if torch.cpu._is_amx_tile_supported():
        return Precision("bf16", "this CPU has AMX")
    if torch.cpu._is_avx512_bf16_supported():
        return Precision("bf16", "this CPU has AVX512_BF16")
    return Precision("fp32", "this CPU has neither AVX512_BF16 nor AMX")
