"""Separation: estimate the stems of a mixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from trainers.losses import Loss, find_loss


@dataclass(frozen=True)
class Batch:
    """Mixtures and the stems they were mixed from."""

    mixture: Wave
    stems: Stems


class Separation:
    """Weighted sum of named losses between estimated and true stems.

    Args:
        weights: weight of each loss, by its name in :data:`trainers.losses.LOSSES`.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.losses: dict[str, tuple[float, Loss]] = {
            name: (weight, find_loss(name)) for name, weight in weights.items()
        }

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and each of its parts unweighted."""
        estimate = model(batch.mixture)
        parts = {name: loss(estimate, batch.stems) for name, (_, loss) in self.losses.items()}
        total = torch.stack([self.losses[name][0] * part for name, part in parts.items()]).sum()
        return total, parts
