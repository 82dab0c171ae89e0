"""The core of a network as a module on its own: what learns where no waves are compared."""

from __future__ import annotations

import torch
from jaxtyping import Complex
from torch import Tensor, nn

from model_zoo.architectures.spectral import SpectralSeparator
from model_zoo.axes import Wave
from model_zoo.separator import Separator
from trainers.objectives.contract import Objective
from trainers.objectives.hearing import folded

Heard = Complex[Tensor, "item channel_heard freq frame"]
"""Spectra of items as a network hears them: it may hear every channel on its own."""


class CoreView(nn.Module):
    """Features to the numbers of a core; every tensor is that of the network.

    Args:
        separator: the network, of which each process may hold a part.
    """

    def __init__(self, separator: Separator) -> None:
        super().__init__()
        self.separator = separator

    def forward(self, features: Tensor) -> Tensor:
        """What the core makes of ``features``."""
        return self.separator.through_core(features)


class CoreObjective(Objective):
    """Base of objectives that compare what a core gives, without waves."""

    @staticmethod
    def learner(separator: Separator) -> nn.Module:
        """The core."""
        return CoreView(separator)


@torch.no_grad()
def seen(separator: Separator, mixture: Wave) -> tuple[Heard, Tensor]:
    """The spectra of mixtures, and what a core sees of them."""
    assert isinstance(separator, SpectralSeparator), "objectives refuse others"
    spectrum = separator.spectrum(folded(mixture, separator.channels))
    return spectrum, separator.features(spectrum)
