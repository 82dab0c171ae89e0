"""What a search was asked for, kept in its folder so that it can go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.config import Config, broken
from model_zoo.errors import CheckpointError, ConfigError, UsageError
from model_zoo.plain import parse_json, read_text
from trainers.config import Recipe
from trainers.loop.results import write_json
from trainers.objectives import OBJECTIVES
from trainers.recipes import check_recipe
from trainers.search.files import read_space
from trainers.search.space import Space

PLAN = "tune.json"
TRIALS = "trials"
"""Folder of the trials, each the folder of a run."""


@dataclass(frozen=True)
class Plan(Config):
    """What a search was asked for.

    Attributes:
        architecture: whose hyperparameters are searched.
        recipe: that is varied, all of its values.
        space: text of the space file.
        space_name: what to call that file; empty for the program's own.
        trials: how many.
        seed: of the searcher.
        data: absolute path of what is learned from; empty for the songs made by formula.
        validation: absolute paths of folders with validation songs.
        startup: trials that are drawn by chance before TPE learns from them.
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
        """Values that cannot be used."""
        return broken({"trials must be 1 or more": self.trials < 1})

    @property
    def base(self) -> Recipe:
        """The recipe that is varied."""
        return check_recipe(self.recipe, f"recipe {self.recipe.get('name', '')}")

    @property
    def score(self) -> str:
        """The word for what trials are judged by."""
        return OBJECTIVES[self.base.objective.name].measure.word

    def bound_space(self) -> Space:
        """The space, laid over the recipe.

        Raises:
            ConfigError: it has mistakes.
        """
        where = f"--space {self.space_name}" if self.space_name else f"space {self.architecture}"
        return read_space(self.space, where, self.base, own=not self.space_name)

    def write(self, folder: Path) -> None:
        """Keep it.

        Raises:
            OutputError: the folder cannot be written.
        """
        write_json(folder / PLAN, self.to_dict())


def startup(trials: int) -> int:
    """Trials by chance: TPE's usual 10, fewer where there are few in all."""
    return max(4, min(10, trials // 4))


def read_plan(folder: Path) -> Plan:
    """What the search in ``folder`` was asked for.

    Raises:
        UsageError: there is none.
        CheckpointError: the file is damaged.
    """
    file = folder / PLAN
    if not file.is_file():
        raise UsageError(
            f"{folder} holds no search to go on with: there is no {PLAN}. Type --output with the "
            "folder of one, or leave out --resume"
        )
    try:
        return Plan.from_dict(parse_json(read_text(file)))
    except (OSError, ValueError, TypeError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{file} is damaged. Type --output with another folder and leave out --resume"
        ) from error
