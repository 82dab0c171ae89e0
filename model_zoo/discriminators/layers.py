"""Convolutions of discriminators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import spectral_norm

SLOPE = 0.2
"""Of the leaky rectifier for negative numbers."""


class Layer(nn.Module):
    """A convolution whose weight is divided by its spectral norm.

    Miyato et al. 2018, arXiv 1802.05957.

    Args:
        conv: the convolution.
        norm: whether to normalise.
        active: whether a leaky rectifier follows.
    """

    def __init__(self, conv: nn.Module, *, norm: bool, active: bool = True) -> None:
        super().__init__()
        self.conv = spectral_norm(conv) if norm else conv
        self.activation = nn.LeakyReLU(SLOPE) if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and rectify."""
        return self.activation(self.conv(x))


def conv2d(
    before: int,
    after: int,
    kernel: tuple[int, int],
    *,
    norm: bool,
    active: bool = True,
    **more: Any,
) -> Layer:
    """A layer over pictures."""
    return Layer(nn.Conv2d(before, after, kernel, **more), norm=norm, active=active)


def run(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """The output of every layer, each of which receives that of the one before it."""
    outputs = []
    for layer in layers:
        x = layer(x)
        outputs.append(x)
    return outputs
