"""What every discriminator takes and gives."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Wave


class Verdict(NamedTuple):
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

    def forward(self, wave: Wave) -> Verdict:
        """Judge waveforms; several channels are judged together.

        Args:
            wave: longer than the longest window or period.
        """
        heard = self.prepare(wave)
        pairs = [discriminator(heard) for discriminator in self.discriminators]
        return Verdict([score for score, _ in pairs], [features for _, features in pairs])

    def prepare(self, wave: Wave) -> Wave:
        """The waveform as all sub-discriminators receive it."""
        return wave


class SubDiscriminator(nn.Module):
    """One view of the sound: a stack of layers over some picture of the waveform."""

    @abstractmethod
    def forward(self, wave: Float[Tensor, "batch channel time"]) -> tuple[Tensor, list[Tensor]]:
        """The score map, and the output of every hidden layer."""
