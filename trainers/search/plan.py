"""The plan of a search, kept in its folder, and the rungs at which ASHA may stop trials.

ASHA (Li et al. 2020, arXiv 1810.05934) compares trials at steps that grow by a factor, the rungs,
and promotes the best ``1 / factor`` of them to the next rung.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.config import Config, broken
from model_zoo.errors import CheckpointError, ConfigError, UsageError
from model_zoo.parsing import parse_json, read_text
from trainers.config import Recipe
from trainers.loop.checkpoint import write_json
from trainers.objectives import OBJECTIVES
from trainers.recipes.loading import check_recipe
from trainers.search.space import Space, read_space

PLAN = "tune.json"
STUDY_LOG = "study.log"
"""Optuna's journal of the search."""

EARLIER_LOG = "search.jsonl"
"""The journal of searches by versions that had one of their own."""

TRIALS = "trials"
"""Folder of the trials, each the folder of a run."""


@dataclass(frozen=True)
class Plan(Config):
    """The request that a search carries out.

    Attributes:
        architecture: whose hyperparameters are searched.
        recipe: all values of the recipe that is varied.
        space: text of the space file.
        space_name: name of that file in messages; empty for Stem's own.
        trials: how many.
        seed: of the sampler.
        data: absolute path of the training data; empty for the synthetic songs.
        validation: absolute paths of folders with validation songs.
        startup: trials that are drawn at random before TPE takes over.
    """

    architecture: str
    recipe: dict[str, Any]
    space: str
    space_name: str
    trials: int
    seed: int
    data: str = ""
    validation: tuple[str, ...] = ()
    startup: int = 10

    def mistakes(self) -> list[str]:
        """Describe values that cannot be used."""
        return broken({"trials must be 1 or more": self.trials < 1})

    @property
    def base(self) -> Recipe:
        """The recipe that is varied."""
        return check_recipe(self.recipe, f"recipe {self.recipe.get('name', '')}")

    @property
    def score(self) -> str:
        """Name of the score that trials are compared by."""
        return OBJECTIVES[self.base.objective.name].measure.word

    def bound_space(self) -> Space:
        """The space, bound to the recipe.

        Raises:
            ConfigError: it has mistakes.
        """
        where = f"--space {self.space_name}" if self.space_name else f"space {self.architecture}"
        return read_space(self.space, where, self.base, own=not self.space_name)

    def write(self, folder: Path) -> None:
        """Write the plan into the folder of its search.

        Raises:
            OutputError: the folder cannot be written.
        """
        write_json(folder / PLAN, self.to_dict())


def startup(trials: int) -> int:
    """Number of random trials at the start: TPE's usual 10, fewer where there are few in all."""
    return max(4, min(10, trials // 4))


def read_plan(folder: Path) -> Plan:
    """Read the plan of the search in ``folder``.

    Raises:
        UsageError: there is none.
        CheckpointError: the file is damaged, or an earlier version of Stem wrote it.
    """
    file = folder / PLAN
    if not file.is_file():
        raise UsageError(
            f"{folder} holds no search to resume: there is no {PLAN}. Use --output with the "
            "folder of one, or leave out --resume"
        )
    refuse_earlier_version(folder)
    try:
        return Plan.from_dict(parse_json(read_text(file)))
    except (OSError, ValueError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{file} is damaged. Use --output with another folder and leave out --resume"
        ) from error


def refuse_earlier_version(folder: Path) -> None:
    """Refuse the folder of a search that was not recorded by Optuna.

    Raises:
        CheckpointError: with what can be done instead.
    """
    if (folder / EARLIER_LOG).exists() and not (folder / STUDY_LOG).exists():
        raise CheckpointError(
            f"{folder} holds a search of an earlier version, which cannot be resumed: use the "
            f"weights of its trials with --model {folder / TRIALS}/NUMBER, or start a new search "
            "with another --output"
        )


SPREAD = 9
"""A trial takes at least one part in so many of all steps: two rungs of a factor of 3."""


@dataclass(frozen=True)
class Rungs:
    """The steps after which trials are compared.

    Attributes:
        grace: steps that every trial takes.
        factor: by which the rungs grow; one trial in so many is promoted.
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
