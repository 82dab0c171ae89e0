"""``stem tune``: options and the plan of a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model_zoo import registry
from model_zoo.errors import StemError, UsageError
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import console_options
from stemcli.cli.parameter_types import WholeNumber
from stemcli.cli.parameter_types import device as device_name
from stemcli.cli.settings_command import SettingsCommand
from stemcli.streams import quiet_stderr
from trainers.cli.parameters import FolderOrUrl, SongsPath, recipe_candidates
from trainers.cli.problems import problems_in_lines
from trainers.cli.train import (
    SHORTCUTS,
    layout_option,
    resume_hint,
    set_option,
    validation_option,
)
from trainers.cli.train_run import announce
from trainers.recipes import recipe_names

if TYPE_CHECKING:
    from trainers.search.plan import Plan
    from trainers.search.trials import SearchFinished, Trials


TRIALS = 16
"""Default number of trials."""


@click.command(
    "tune",
    cls=SettingsCommand,
    settings=("device",),
    runs_on_ray=True,
    epilog=examples(
        ("stem tune melroformer --data songs", f"{TRIALS} trials around a small recipe"),
        ("stem tune melroformer --trials 4", "on synthetic songs, to try it out"),
        ("stem tune melrnn --data songs --space mine.yaml", "with a search space of your own"),
        ("stem tune melroformer --output runs/search --resume", "resume a stopped search"),
        ("stem tune melunet --data songs --cluster", "on a Ray cluster"),
    ),
)
@click.argument("architecture", metavar="MODEL", shell_complete=candidates.architectures)
@click.option(
    "--trials",
    type=WholeNumber(1),
    help=f"Number of trials.  [default: {TRIALS}; with --resume the search's own]",
)
@click.option(
    "--recipe",
    shell_complete=recipe_candidates,
    default="",
    metavar="NAME|FILE",
    help="Recipe to vary; each trial is a run of it.  [default: tune-MODEL]",
)
@click.option(
    "--space",
    shell_complete=candidates.files,
    default="",
    metavar="FILE",
    help="YAML file with the search space.  [default: Stem's own for MODEL]",
)
@click.option(
    "--data",
    type=SongsPath(),
    shell_complete=candidates.files,
    metavar="DIR|FILE",
    help="Folder with the songs, or a CSV file that lists them.  [default: synthetic songs]",
)
@layout_option
@validation_option
@click.option(
    "-o",
    "--output",
    type=FolderOrUrl(),
    metavar="DIR",
    help="Folder of the search.  [default: runs/tune-MODEL]",
)
@set_option
@click.option("--resume", is_flag=True, help="Resume the search in --output.")
@click.option(
    "--cluster",
    is_flag=True,
    help="Run trials on the Ray cluster at RAY_ADDRESS; if that is not set, on this machine alone.",
)
@click.option(
    "--workers",
    type=WholeNumber(1),
    default=1,
    show_default=True,
    help="Workers per trial.",
)
@click.option(
    "-j",
    "--jobs",
    type=WholeNumber(1),
    help="Workers that share the cores of a machine without GPUs; on GPUs each worker has one to"
    " itself.  [default: one per four cores, but at least 2]",
)
@click.option(
    "-d",
    "--device",
    type=device_name,
    shell_complete=candidates.devices,
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto, cpu, cuda or mps.",
)
@click.option("--seed", type=WholeNumber(0), help="Random seed.  [default: the recipe's]")
@console_options
def command(
    *,
    architecture: str,
    trials: int | None,
    recipe: str,
    space: str,
    data: Path | None,
    layout: str | None,
    validation: tuple[Path, ...],
    output: Path | None,
    changes: tuple[str, ...],
    resume: bool,
    cluster: bool,
    workers: int,
    jobs: int | None,
    device: str,
    seed: int | None,
    console: Console,
) -> None:
    """Search for good hyperparameters of the network MODEL.

    Every trial is a short run of the recipe with other values: width, depth, heads, STFT, learning
    rate, loss weights, augmentation. Optuna proposes them, ASHA stops bad trials early, and the
    values of the best trial are written as a recipe for stem train. Ctrl-C stops at once; --resume
    continues the search.
    """
    from trainers.cli.tune_display import open_search_display
    from trainers.cluster.tune import Machines, check_output, search
    from trainers.search.journal import read_trials
    from trainers.search.plan import PLAN

    check_architecture(architecture)
    folder = output or Path("runs") / f"tune-{architecture}"
    typed = TuneOptions(
        architecture, trials, recipe, space, changes, data, layout, validation, seed
    )
    plan = typed.resumed_plan(folder) if resume else typed.plan(TRIALS)
    earlier = read_trials(folder, plan.score) if resume else None
    machines = Machines(cluster, device, jobs or 0, workers, console.verbose)
    quiet = quiet_stderr(not console.verbose)
    check_output(folder, resume)
    announce(console, alone=not cluster)
    with (
        problems_in_lines(data, console),
        resume_hint(folder / PLAN),
        quiet,
        console,
        open_search_display(plan, console, earlier) as display,
    ):
        try:
            found = search(plan, folder, machines, display.show, resume=resume)
        except (KeyboardInterrupt, SystemExit):
            write_so_far(plan, folder)
            raise
        display.show(finish(found, plan, folder, display.seconds))
    conclude(found, plan, folder, console)


def check_architecture(name: str) -> None:
    """Check the name of the network; for the name of a recipe, say how to vary the recipe.

    Raises:
        UnknownNameError: there is no such architecture.
        ConfigError: a recipe of this name has errors.
    """
    from trainers.recipes.loading import load_recipe

    if name in recipe_names() and name not in registry.ARCHITECTURES:
        trained = load_recipe(name).model.architecture
        raise UsageError(
            f"{name} is a recipe, not an architecture. Try: stem tune {trained} --recipe {name}"
        )
    registry.architecture(name)


def write_so_far(plan: Plan, folder: Path) -> None:
    """Write tables, recipe and picture of a search that was interrupted."""
    from trainers.search.journal import read_trials

    trials = read_trials(folder, plan.score)
    if trials.best:
        finish(trials, plan, folder, 0.0)


def finish(trials: Trials, plan: Plan, folder: Path, seconds: float) -> SearchFinished:
    """Write tables, recipe and picture; returns the event that reports them."""
    from trainers.search.report import PICTURE, draw_search, write_best, write_tables
    from trainers.search.trials import SearchFinished

    write_tables(trials, plan, folder)
    recipe = write_best(trials, plan, folder)
    title = f"{plan.architecture}: {len(trials)} trials around {plan.base.name}"
    draw_search(trials, plan.bound_space(), title, folder / PICTURE)
    best = trials.best
    return SearchFinished(
        best=best.number if best else None,
        sdr=best.sdr if best else None,
        counts={state: trials.count(state) for state in ("done", "stopped", "failed")},
        recipe=str(recipe or ""),
        picture=str(folder / PICTURE),
        seconds=round(seconds, 1),
    )


def conclude(trials: Trials, plan: Plan, folder: Path, console: Console) -> None:
    """Print the results and the command to run next.

    Raises:
        StemError: all trials failed.
    """
    from trainers.cli.tune_display import show_ranking
    from trainers.cluster.tune_trial import data_of
    from trainers.search.report import BEST_RECIPE, CSV, JSON, PICTURE

    show_ranking(trials, console)
    console.line()
    console.line(f"Tables: {folder / CSV}, {folder / JSON}")
    console.line(f"Picture: {folder / PICTURE}")
    best = trials.best
    if best is None:
        first = next(iter(trials))
        which = f"All {len(trials)} trials" if len(trials) > 1 else "The trial"
        raise StemError(f"{which} failed: {first.reason}")
    recipe = folder / BEST_RECIPE
    console.line(f"Recipe: {recipe} (trial {best.number}, {best.sdr:.2f} dB {plan.score})")
    console.line(f"Try: stem train --recipe {quoted(recipe)} --data {quoted(data_of(plan))}")


@dataclass(frozen=True)
class TuneOptions:
    """Options of the command line; None or empty if they were not given.

    Attributes:
        architecture: architecture whose hyperparameters are searched.
        trials: number of trials.
        recipe: name or file of the recipe to vary.
        space: file with the search space.
        changes: changes of the recipe, ``key.key=value`` each.
        data: folder of the training data.
        layout: layout of the data.
        validation: folders with validation songs.
        seed: random seed.
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
            trials: number of trials if the option was not given.

        Raises:
            UnknownNameError: there is no such recipe.
            ConfigError: it has mistakes or trains another network, or the space cannot be read.
        """
        from trainers.recipes.loading import load_recipe
        from trainers.search.plan import Plan, startup
        from trainers.search.space import require_architecture, space_text

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

    def resumed_plan(self, folder: Path) -> Plan:
        """The plan of the search in ``folder``.

        Raises:
            CheckpointError: there is none.
            UsageError: it searches for another network, or an option differs that cannot change.
        """
        from trainers.search.plan import read_plan

        plan = read_plan(folder)
        if plan.architecture != self.architecture:
            raise UsageError(f"{folder} is a search for {plan.architecture}. Name another --output")
        fixed = [*self._fixed()]
        if fixed and not self._is_same(plan):
            raise UsageError(
                f"A resumed search keeps its values, and these differ: leave out "
                f"{', '.join(fixed)}, or use another --output without --resume"
            )
        return replace(
            plan,
            trials=self.trials or plan.trials,
            data=_absolute(self.data) or plan.data,
            validation=tuple(map(_absolute, self.validation)) or plan.validation,
        )

    def _is_same(self, plan: Plan) -> bool:
        """Whether the options are those that the search was started with."""
        made = self.plan(plan.trials)
        return (made.base, made.space, made.seed) == (plan.base, plan.space, plan.seed)

    def _fixed(self) -> Iterator[str]:
        """Options that were given and that only a new search can have."""
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
