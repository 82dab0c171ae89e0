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
    """What a discriminator thinks of a batch of waveforms.

    Attributes:
        scores: one map for each sub-discriminator, ``(batch, 1, ...)``; high where it sounds real.
        features: for each sub-discriminator the outputs of its hidden layers, in order.
    """

    scores: list[Tensor]
    features: list[list[Tensor]]


class Discriminator(nn.Module):
    """Tells real sound from what a network made.

    Subclasses list their sub-discriminators in :attr:`discriminators`, each of which gives a score
    map and its features.
    """

    discriminators: nn.ModuleList

    def forward(self, wave: Wave) -> DiscriminatorOutput:
        """Judge waveforms; several channels are judged together.

        Args:
            wave: longer than the longest window or period.
        """
        heard = self.prepare(wave)
        pairs = [discriminator(heard) for discriminator in self.discriminators]
        return DiscriminatorOutput(
            [score for score, _ in pairs], [features for _, features in pairs]
        )

    def prepare(self, wave: Wave) -> Wave:
        """The waveform as all sub-discriminators receive it."""
        return wave


class SubDiscriminator(nn.Module):
    """One view of the sound: a stack of layers over some picture of the waveform."""

    @abstractmethod
    def forward(self, wave: Float[Tensor, "batch channel time"]) -> tuple[Tensor, list[Tensor]]:
        """The score map, and the output of every hidden layer."""


SLOPE = 0.2
"""Of the leaky rectifier for negative numbers."""


class Layer(nn.Module):
    """A convolution whose weight is divided by its spectral norm.

    Miyato et al. 2018, arXiv 1802.05957.

    Args:
        conv: the convolution.
        norm: whether to normalize.
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
