"""Training objectives, by the names that recipes use.

An objective turns a batch into a training example, computes named losses of output and target, and
scores the network on validation songs.
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
    """Create the objective of a recipe.

    Raises:
        UnknownNameError: there is no such loss.
        ConfigError: the network does not fit the objective or lacks a loss, or a loss argument or
            stem does not exist.
    """
    kind = OBJECTIVES[recipe.objective.name]
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = registry.build(recipe.model.architecture, recipe.model.options)
        mistakes = kind.problems(network, recipe.losses)
    if mistakes:
        raise ConfigError("objective", mistakes)
    return kind(recipe, separator)
