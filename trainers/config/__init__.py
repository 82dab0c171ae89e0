"""A recipe: one complete training run, as :mod:`trainers.recipes` reads it from YAML.

Unknown keys and contradictions are reported all at once.
"""

from __future__ import annotations

from trainers.config.adversary import AdversaryRecipe
from trainers.config.augmentation import AugmentationRecipe
from trainers.config.data import DataRecipe
from trainers.config.learning import (
    LogRecipe,
    LoopRecipe,
    OptimiserRecipe,
    ScheduleRecipe,
    StageRecipe,
    ValidationRecipe,
)
from trainers.config.objective import ObjectiveRecipe
from trainers.config.recipe import ModelRecipe, Recipe
from trainers.config.voices import PoolRecipe, VoicesRecipe
from trainers.config.voxaug import VoxaugRecipe

__all__ = [
    "AdversaryRecipe",
    "AugmentationRecipe",
    "DataRecipe",
    "LogRecipe",
    "LoopRecipe",
    "ModelRecipe",
    "ObjectiveRecipe",
    "OptimiserRecipe",
    "PoolRecipe",
    "Recipe",
    "ScheduleRecipe",
    "StageRecipe",
    "ValidationRecipe",
    "VoicesRecipe",
    "VoxaugRecipe",
]
