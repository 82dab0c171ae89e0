"""What one step learns, by the name that a recipe gives it.

An objective makes an exercise of a batch, compares what the network made of it with what was
wanted, in named losses, and judges the network by a validation song.
"""

from __future__ import annotations

import torch

from model_zoo import registry
from model_zoo.errors import ConfigError
from model_zoo.separator import Separator
from trainers.config import Recipe
from trainers.objectives.base import Measure, Objective
from trainers.objectives.separation import CodesObjective, SeparationObjective
from trainers.objectives.spectral import DenoisingObjective, PhaseObjective

__all__ = ["OBJECTIVES", "Measure", "Objective", "objective_of"]

OBJECTIVES: dict[str, type[Objective]] = {
    "separation": SeparationObjective,
    "denoising": DenoisingObjective,
    "phase": PhaseObjective,
    "codes": CodesObjective,
}


def objective_of(recipe: Recipe, separator: Separator) -> Objective:
    """The objective of a recipe.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: the network cannot learn it or lacks a loss for that, a loss has no such
            argument, or there is no such stem.
    """
    kind = OBJECTIVES[recipe.objective.name]
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = registry.build(recipe.model.architecture, recipe.model.options)
        mistakes = kind.problems(network, recipe.losses)
    if mistakes:
        raise ConfigError("objective", mistakes)
    return kind(recipe, separator)
