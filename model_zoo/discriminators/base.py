"""The contract of every discriminator, and the convolutions they share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from model_zoo.axes import Wave


class DiscriminatorOutput(NamedTuple):
    """Output of a discriminator for a batch of waveforms.

    Attributes:
        scores: one map for each sub-discriminator, ``(batch, 1, ...)``; high where it sounds real.
        features: for each sub-discriminator the outputs of its hidden layers, in order.
    """

    scores: list[Tensor]
    features: list[list[Tensor]]


class Discriminator(nn.Module):
    """Distinguishes real audio from estimates of a network.

    Subclasses list their sub-discriminators in :attr:`discriminators`, each of which gives a score
    map and its features.
    """

    discriminators: nn.ModuleList

    def forward(self, wave: Wave) -> DiscriminatorOutput:
        """Score waveforms; several channels are scored together.

        Args:
            wave: longer than the longest window or period.
        """
        prepared = self.prepare(wave)
        pairs = [discriminator(prepared) for discriminator in self.discriminators]
        return DiscriminatorOutput(
            [score for score, _ in pairs], [features for _, features in pairs]
        )

    def prepare(self, wave: Wave) -> Wave:
        """The waveform as all sub-discriminators receive it."""
        return wave


class SubDiscriminator(nn.Module):
    """A stack of layers over one representation of the waveform."""

    @abstractmethod
    def forward(self, wave: Float[Tensor, "batch channel time"]) -> tuple[Tensor, list[Tensor]]:
        """The score map, and the output of every hidden layer."""


SLOPE = 0.2
"""Slope of the leaky ReLU for negative numbers."""


class Layer(nn.Module):
    """A convolution whose weight is divided by its spectral norm.

    Miyato et al. 2018, arXiv 1802.05957.

    Args:
        conv: the convolution.
        norm: whether to normalize.
        active: whether a leaky ReLU follows.
    """

    def __init__(self, conv: nn.Module, *, norm: bool, active: bool = True) -> None:
        super().__init__()
        self.conv = spectral_norm(conv) if norm else conv
        self.activation = nn.LeakyReLU(SLOPE) if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and apply the activation."""
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
    """A two-dimensional convolution as a :class:`Layer`."""
    return Layer(nn.Conv2d(before, after, kernel, **more), norm=norm, active=active)


def run(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """The output of every layer, each of which receives that of the one before it."""
    outputs = []
    for layer in layers:
        x = layer(x)
        outputs.append(x)
    return outputs
