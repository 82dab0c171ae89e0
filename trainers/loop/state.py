"""Everything of a run that must survive a restart."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model_zoo import registry
from model_zoo.separator import Separator
from trainers.config import Recipe
from trainers.loop.ema import WeightAverage
from trainers.loop.optimiser import build_optimisers
from trainers.loop.origin import start_from


@dataclass
class TrainState:
    """What learns, and how far it has come.

    Attributes:
        model: the network that is trained.
        average: its averaged weights.
        optimisers: what moves the weights, each with its base learning rates.
        step: optimizer steps done; also the place in the data, whose items are numbered.
        best_sdr: best validation SDR so far, in dB.
    """

    model: Separator
    average: WeightAverage
    optimisers: list[torch.optim.Optimizer]
    step: int = 0
    best_sdr: float = float("-inf")

    @classmethod
    def fresh(cls, recipe: Recipe, device: torch.device, origin: str = "") -> TrainState:
        """A new run on ``device``: seeded weights, or those of the model called ``origin``.

        Raises:
            UnknownNameError: there is no such architecture or model.
            ConfigError: the network's options contradict each other.
            CheckpointError: ``origin`` cannot be used or is another network.
        """
        torch.manual_seed(recipe.seed)
        model = registry.build(recipe.model.architecture, recipe.model.options).to(device)
        if origin:
            start_from(model, origin)
        optimisers = build_optimisers(model, recipe.optimiser)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["base_lr"] = group["lr"]
        return cls(model, WeightAverage(model, recipe.loop.ema), optimisers)

    def scale_learning_rates(self, factor: float) -> None:
        """Set every learning rate to ``factor`` times its base."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["base_lr"] * factor
