"""Exponential moving average of weights: what validation and export use."""

from __future__ import annotations

import copy

import torch
from torch import nn

from model_zoo.separator import Separator


class WeightAverage:
    """Averaged copy of a network.

    The decay rises from 0.1 with the number of updates (``(1 + n) / (10 + n)``, at most ``decay``),
    so that the first weights, which know nothing, are forgotten soon. Buffers, which are statistics
    already, are copied.

    Args:
        model: what is averaged; the average starts as a copy of it.
        decay: share of the old average in the new one, once many updates were made.
    """

    def __init__(self, model: Separator, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self.model.eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0
        weights = {name for name, _ in model.named_parameters()}
        self._buffers = [name for name in model.state_dict() if name not in weights]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the current weights."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = zip(self.model.parameters(), model.parameters(), strict=True)
        for average, current in pairs:
            average.lerp_(current, 1 - decay)
        for name in self._buffers:
            self.model.get_buffer(name).copy_(model.get_buffer(name))
        self.updates += 1
