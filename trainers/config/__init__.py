"""Recipes: all settings of a training run, which :mod:`trainers.recipes` reads from YAML.

Unknown keys and contradictions are all reported together.

Unknown keys and contradictions are reported all at once.
"""

from __future__ import annotations

from trainers.config.data import (
    AugmentationRecipe,
    DataRecipe,
    PoolRecipe,
    VoicesRecipe,
    VoxaugRecipe,
)
from trainers.config.recipe import AdversaryRecipe, ModelRecipe, ObjectiveRecipe, Recipe
from trainers.config.training import (
    LogRecipe,
    LoopRecipe,
    OptimizerRecipe,
    ScheduleRecipe,
    StageRecipe,
    ValidationRecipe,
)

__all__ = [
    "AdversaryRecipe",
    "AugmentationRecipe",
    "DataRecipe",
    "LogRecipe",
    "LoopRecipe",
    "ModelRecipe",
    "ObjectiveRecipe",
    "OptimizerRecipe",
    "PoolRecipe",
    "Recipe",
    "ScheduleRecipe",
    "StageRecipe",
    "ValidationRecipe",
    "VoicesRecipe",
    "VoxaugRecipe",
]
