"""Which processor runs the network."""

from __future__ import annotations

import re

import torch

from model_zoo.errors import DeviceError

AUTO = "auto"


def resolve_device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` takes cuda, else mps, else cpu.

    Raises:
        DeviceError: for an unknown name, and for a device named outright that is not there.
    """
    if name == AUTO:
        return torch.device(_best())
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise DeviceError(f"Unknown device {name!r}: type auto, cpu, cuda, cuda:N or mps")
    device = torch.device(name)
    if device.type == "cuda":
        _require_cuda(name, device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"No Apple GPU is visible to PyTorch {torch.__version__}: {_INSTEAD}")
    return device


def spread(device: torch.device, jobs: int) -> list[torch.device]:
    """Devices of so many workers: where any GPU will do, they take turns over all of them."""
    if device.type != "cuda" or device.index is not None:
        return [device] * jobs
    count = torch.cuda.device_count()
    return [torch.device("cuda", job % count) for job in range(jobs)]


_INSTEAD = "type --device cpu, or --device auto to take the best there is"


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _require_cuda(name: str, index: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(f"No CUDA GPU is visible to PyTorch {torch.__version__}: {_INSTEAD}")
    if index >= count:
        raise DeviceError(f"There is no {name!r}, the last GPU is 'cuda:{count - 1}': {_INSTEAD}")
