"""Exponential moving average of weights: what validation and export use."""

from __future__ import annotations

import copy

import torch
from torch import nn

from model_zoo.separator import Separator


class WeightAverage:
    """Averaged copy of a network.

    The decay rises from 0.1 with the number of updates (``(1 + n) / (10 + n)``, at most ``decay``),
    so that the first weights, which know nothing, are forgotten soon.

    Args:
        model: what is averaged; the average starts as a copy of it.
        decay: share of the old average in the new one, once many updates were made.
    """

    def __init__(self, model: Separator, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self.model.eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the current weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = zip(self.model.parameters(), model.parameters(), strict=True)
        for average, current in pairs:
            average.lerp_(current, 1 - decay)
        self.updates += 1
