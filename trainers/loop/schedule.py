"""Learning rate as a function of the step: a factor between 0 and 1."""

from __future__ import annotations

from trainers.config import ScheduleRecipe


def factor(step: int, recipe: ScheduleRecipe) -> float:
    """Linear warm-up, constant, linear decay to zero over the last ``decay`` of the steps."""
    warm = (step + 1) / recipe.warmup if recipe.warmup else 1.0
    tail = recipe.decay * recipe.steps
    cool = (recipe.steps - step) / tail if tail else 1.0
    return max(0.0, min(1.0, warm, cool))
