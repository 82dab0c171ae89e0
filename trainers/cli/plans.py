"""From what was typed after ``stem tune`` to the plan of a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from model_zoo.errors import UsageError
from trainers.cli.choices import SHORTCUTS
from trainers.recipes import load_recipe
from trainers.search.files import space_text
from trainers.search.plan import Plan, read_plan, startup
from trainers.search.space import require_architecture


@dataclass(frozen=True)
class Typed:
    """What was typed; None and empty values were not.

    Attributes:
        architecture: whose hyperparameters are searched.
        trials: how many.
        recipe: name or file of the recipe that is varied.
        space: file that says what is varied.
        changes: of the recipe, ``key.key=value`` each.
        data: what is learned from.
        layout: of the data.
        validation: folders with validation songs.
        seed: start of all random choices.
    """

    architecture: str
    trials: int | None = None
    recipe: str = ""
    space: str = ""
    changes: tuple[str, ...] = ()
    data: Path | None = None
    layout: str | None = None
    validation: tuple[Path, ...] = ()
    seed: int | None = None

    def plan(self, trials: int) -> Plan:
        """The plan of a new search.

        Args:
            trials: how many where nothing was typed.

        Raises:
            UnknownNameError: there is no such recipe.
            ConfigError: it has mistakes or trains another network, or the space cannot be read.
        """
        shortcuts = {"layout": self.layout, "seed": self.seed}
        more = [
            f"{SHORTCUTS[name]}={value}" for name, value in shortcuts.items() if value is not None
        ]
        base = load_recipe(self.recipe or f"tune-{self.architecture}", (*self.changes, *more))
        require_architecture(base, self.architecture)
        count = self.trials or trials
        return Plan(
            architecture=self.architecture,
            recipe=base.to_dict(),
            space=space_text(self.architecture, self.space),
            space_name=self.space,
            trials=count,
            seed=base.seed,
            data=_absolute(self.data),
            validation=tuple(map(_absolute, self.validation)),
            startup=startup(count),
        )

    def going_on(self, folder: Path) -> Plan:
        """The plan of the search in ``folder``.

        Raises:
            CheckpointError: there is none.
            UsageError: it is about another network, or something was typed that cannot change.
        """
        plan = read_plan(folder)
        if plan.architecture != self.architecture:
            raise UsageError(f"{folder} is a search for {plan.architecture}. Name another --output")
        fixed = [*self._fixed()]
        if fixed and not self._is_same(plan):
            raise UsageError(
                f"A search that goes on keeps its values, and others were typed: leave out "
                f"{', '.join(fixed)}, or name another --output without --resume"
            )
        return replace(
            plan,
            trials=self.trials or plan.trials,
            data=_absolute(self.data) or plan.data,
            validation=tuple(map(_absolute, self.validation)) or plan.validation,
        )

    def _is_same(self, plan: Plan) -> bool:
        """Whether what was typed is what the search was begun with."""
        made = self.plan(plan.trials)
        return (made.base, made.space, made.seed) == (plan.base, plan.space, plan.seed)

    def _fixed(self) -> Iterator[str]:
        """Options that were typed and belong to a new search."""
        options = {
            "--recipe": self.recipe,
            "--space": self.space,
            "--set": self.changes,
            "--layout": self.layout,
        }
        yield from (option for option, value in options.items() if value)
        if self.seed is not None:
            yield "--seed"


def _absolute(path: Path | None) -> str:
    return str(path.resolve()) if path else ""
