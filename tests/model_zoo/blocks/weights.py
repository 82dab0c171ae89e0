"""Synthetic weights, so that no expected value depends on a random generator."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn


def pattern(*shape: int, phase: float = 0.0) -> Tensor:
    """Values in [-1, 1] without structure, the same on every machine."""
    count = torch.Size(shape).numel()
    index = torch.arange(count, dtype=torch.float64)
    return torch.sin(index**2 * 0.37 + index * 1.7 + phase).reshape(shape).float()


M = TypeVar("M", bound=nn.Module)


def fill(module: M, size: float = 0.3) -> M:
    """Give every parameter of ``module`` its own pattern."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(size * pattern(*parameter.shape, phase=number))
    return module.eval()
