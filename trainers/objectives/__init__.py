"""Training objectives, by the names that recipes use.

An objective turns a batch into a training example, computes named losses of output and target, and
scores the network on validation songs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from model_zoo.errors import ConfigError
from model_zoo.introspection import build_on_meta
from model_zoo.separator import Separator
from trainers.config import Recipe
from trainers.objectives.base import Measure, Objective
from trainers.objectives.separation import CodesObjective, SeparationObjective
from trainers.objectives.spectral import DenoisingObjective, PhaseObjective

__all__ = ["OBJECTIVES", "Measure", "Objective", "objective_of", "problems"]

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
    model, name = recipe.model, recipe.objective.name
    mistakes = problems(name, model.architecture, model.options, recipe.losses)
    if mistakes:
        raise ConfigError("objective", mistakes)
    return OBJECTIVES[name](recipe, separator)


def problems(
    objective: str, architecture: str, options: Mapping[str, Any], weights: Mapping[Any, Any]
) -> list[str]:
    """List why a network cannot learn an objective, on the device "meta".

    Args:
        objective: a key of :data:`OBJECTIVES`.
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        options: options of the architecture.
        weights: weights of losses by name, which may be unchecked.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: ``options`` has unknown or contradictory values.
    """
    network = build_on_meta(architecture, options)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return OBJECTIVES[objective].problems(network, weights)
