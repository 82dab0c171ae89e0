"""Separation: estimate the stems of a mixture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems, Wave
from model_zoo.separator import Separator
from trainers.losses import Loss, make_loss


@dataclass(frozen=True)
class Batch:
    """Mixtures and the stems they were mixed from."""

    mixture: Wave
    stems: Stems

    def split(self, parts: int) -> Iterator[Batch]:
        """Cut into ``parts`` of equal size, which must divide the batch."""
        pairs = zip(self.mixture.chunk(parts), self.stems.chunk(parts), strict=True)
        return (Batch(mixture, stems) for mixture, stems in pairs)


def estimate(model: Separator, mixture: Wave) -> Stems:
    """The stems of ``mixture``; a network of one channel hears every channel on its own."""
    if model.channels > 1:
        return model(mixture)
    alone = model(rearrange(mixture, "b c t -> (b c) 1 t"))
    return rearrange(alone, "(b c) s 1 t -> b s c t", c=mixture.shape[1])


QUIETEST = 1e-4
"""Square root of the mean square below which a mixture is not made louder: -80 dB full scale."""


def loudness(mixture: Wave) -> Float[Tensor, "batch 1 1"]:
    """Root mean square of every mixture, :data:`QUIETEST` at least."""
    return mixture.square().mean((1, 2), keepdim=True).sqrt().clamp_min(QUIETEST)


class Separation:
    """Weighted sum of named losses between estimated and true stems.

    Waves are compared at the level at which their mixture has a root mean square of 1, so that a
    quiet clip counts as much as a loud one.

    Args:
        weights: weight of each loss, by its name in :data:`trainers.losses.LOSSES`.
        sample_rate: of the sound, in Hz.
        options: arguments of losses, by name.

    Raises:
        UnknownNameError: there is no such loss.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        sample_rate: int,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.losses: dict[str, tuple[float, Loss]] = {
            name: (weight, make_loss(name, sample_rate, (options or {}).get(name)))
            for name, weight in weights.items()
        }

    def __call__(self, model: Separator, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and each of its parts unweighted."""
        found = estimate(model, batch.mixture)
        level = loudness(batch.mixture).unsqueeze(1)
        pair = found / level, batch.stems / level
        parts = {name: loss(*pair) for name, (_, loss) in self.losses.items()}
        total = torch.stack([self.losses[name][0] * part for name, part in parts.items()]).sum()
        return total, parts
