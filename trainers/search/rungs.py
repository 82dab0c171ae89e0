"""When ASHA may stop a trial, from the schedule of its recipe.

ASHA (Li et al. 2020, arXiv 1810.05934) compares trials at steps that grow by a factor, the rungs,
and lets the best ``1 / factor`` of them go on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainers.config import Recipe

SPREAD = 9
"""A trial takes at least one part in so many of all steps: two rungs of a factor of 3."""


@dataclass(frozen=True)
class Rungs:
    """When trials are compared.

    Attributes:
        grace: steps that every trial takes.
        factor: by which the rungs grow, and one part in how many goes on.
        steps: of a whole trial.
    """

    grace: int
    factor: int
    steps: int

    @property
    def all(self) -> tuple[int, ...]:
        """Steps after which a trial may be stopped, below the last."""
        count = int(math.log(self.steps, self.factor)) + 1
        rungs = (self.grace * self.factor**number for number in range(count))
        return tuple(rung for rung in rungs if rung < self.steps)


def rungs_of(recipe: Recipe) -> Rungs:
    """The rungs of a recipe.

    The first is the first validation after a ninth of the steps, and after twice the warm-up: until
    then the learning rate says little. The factor is 3 where two rungs fit, otherwise 2.
    """
    steps, every = recipe.schedule.steps, recipe.validation.every
    first = max(steps / SPREAD, 2 * recipe.schedule.warmup)
    grace = min(steps, every * max(1, math.ceil(first / every)))
    return Rungs(grace, 3 if 3 * grace < steps / 2 else 2, steps)
