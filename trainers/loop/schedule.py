"""Learning rate as a function of the step: a factor between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable

from trainers.config import ScheduleRecipe


def factor(step: int, recipe: ScheduleRecipe, falls: int = 0) -> float:
    """Linear warm-up times the shape of the recipe.

    Args:
        step: steps done before.
        recipe: the shape and its numbers.
        falls: how often a plateau was met.
    """
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.shape == "plateau":
        return warm * max(recipe.floor, recipe.factor**falls)
    return warm * (recipe.floor + (1 - recipe.floor) * SHAPES[recipe.shape](step, recipe))


def _constant(step: int, recipe: ScheduleRecipe) -> float:
    return 1.0


def _linear(step: int, recipe: ScheduleRecipe) -> float:
    """1, then a line down to 0 over the last ``decay`` of the steps."""
    tail = recipe.decay * recipe.steps
    return max(0.0, min(1.0, (recipe.steps - step) / tail)) if tail else 1.0


def _cosine(step: int, recipe: ScheduleRecipe) -> float:
    """Half a wave from 1 after the warm-up to 0 at the end.

    Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5, without restarts.
    """
    share = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return (1 + math.cos(math.pi * min(1.0, max(0.0, share)))) / 2


SHAPES: dict[str, Callable[[int, ScheduleRecipe], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
}
"""From 1 to 0, which become the full rate and its floor."""
