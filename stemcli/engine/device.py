"""Resolves the device and the precision."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from model_zoo.errors import DeviceError, errors_about
from model_zoo.option_names import setting

AUTO = "auto"


@errors_about("device")
def resolve_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` selects cuda, else mps, else cpu.

    Raises:
        DeviceError: the name is unknown, or the device is not available.
    """
    if name == AUTO:
        return torch.device(_best())
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise DeviceError(f"Unknown device {name!r}. Try auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    if device.type == "cuda":
        _require_cuda(name, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"No Apple GPU is visible to PyTorch {torch.__version__}. {_instead()}")
    return device


def spread(device: torch.device, jobs: int) -> list[torch.device]:
    """One device per worker; ``cuda`` without an index is spread over all GPUs in turn."""
    if device.type != "cuda" or device.index is not None:
        return [device] * jobs
    count = torch.cuda.device_count()
    return [torch.device("cuda", job % count) for job in range(jobs)]


def _instead() -> str:
    cpu, auto = setting(device="cpu"), setting(device="auto")
    return f"Try {cpu}, or {auto} to use the best available"


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _require_cuda(name: str, index: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(f"No CUDA GPU is visible to PyTorch {torch.__version__}. {_instead()}")
    if index >= count:
        raise DeviceError(f"There is no {name!r}; the last GPU is 'cuda:{count - 1}'. {_instead()}")


_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """A numeric precision, and why it was chosen.

    Attributes:
        name: ``fp32``, ``bf16`` or ``fp16``.
        reason: one clause for the user, e.g. ``"this CPU has AVX512_BF16"``.
    """

    name: str
    reason: str

    @property
    def is_reduced(self) -> bool:
        """Whether the precision is lower than float32."""
        return self.name != "fp32"

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """Run matrix products and convolutions in this precision; transforms stay float32."""
        if not self.is_reduced:
            return nullcontext()
        return torch.autocast(device.type, _TYPES[self.name])


def resolve_precision(name: str, device: torch.device, needs_float32: bool = False) -> Precision:
    """The precision called ``name``; ``auto`` selects bf16 if the device supports it natively.

    Args:
        name: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        device: where the network will run.
        needs_float32: whether ``auto`` must select float32 for this network.
    """
    if name != "auto":
        return Precision(name, "requested")
    if needs_float32:
        return Precision("fp32", "bf16 is too coarse for this network")
    if device.type == "cuda":
        return _on_cuda(device)
    if device.type == "cpu":
        return _on_cpu()
    return Precision("fp32", f"bf16 is not reliable on {device.type}")


def _on_cuda(device: torch.device) -> Precision:
    major, minor = torch.cuda.get_device_capability(device)
    found = f"this GPU has compute capability {major}.{minor}"
    return Precision("bf16", found) if major >= 8 else Precision("fp32", f"{found}, bf16 needs 8.0")


def _on_cpu() -> Precision:
    # torch.cpu.get_capabilities, the public function, is newer than the oldest supported torch.
    if torch.cpu._is_amx_tile_supported():
        return Precision("bf16", "this CPU has AMX")
    if torch.cpu._is_avx512_bf16_supported():
        return Precision("bf16", "this CPU has AVX512_BF16")
    return Precision("fp32", "this CPU has neither AVX512_BF16 nor AMX")


def machine(device: torch.device) -> str:
    """Describe the machine: CPU and cores, or the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores"


def _processor() -> str:
    """Return the name of the CPU, if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""

_KEPT = 2**30
"""Bytes that the allocator may keep; the largest tensor that uses them."""


def keep_freed_memory() -> None:
    """Have glibc use the memory of freed tensors again instead of returning it to Linux.

    By default every tensor of more than 32 MiB gets new pages, which Linux fills with zeros. All
    threads share one arena, so that each uses what another has freed. Does nothing where the C
    library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_ARENA_MAX, 1)
