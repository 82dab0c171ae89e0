"""``stem train``: options, recipe lookup and the start of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from model_zoo.errors import CheckpointError, UsageError
from model_zoo.parsing import parse_json, read_text
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import console_options
from stemcli.cli.parameter_types import NumberRange, WholeNumber
from stemcli.cli.parameter_types import device as device_name
from stemcli.streams import quiet_stderr
from trainers.cli.other_trainers import TrainCommand, other_trainers_options
from trainers.cli.parameters import FolderOrUrl, SongsPath, recipe_candidates
from trainers.cli.problems import problems_in_lines
from trainers.cli.train_run import ClusterOptions, advice, check_output, nearby, train_clustered
from trainers.cluster.job import WAIT, TrainingJob
from trainers.config.data import Layout
from trainers.recipes import recipe_names

if TYPE_CHECKING:
    from trainers.config import Recipe

DEFAULT = "quick"
SHORTCUTS = {"precision": "loop.precision", "seed": "seed", "layout": "data.layout"}
"""Options that change one key of the recipe."""


def choose_recipe(
    name: str,
    changes: tuple[str, ...],
    run: Path | None,
    origin: str = "",
    **shortcuts: str | int | None,
) -> Recipe:
    """Load the recipe that the command line selects.

    Args:
        name: recipe name or file; empty for the recipe of ``run``, or the default.
        changes: ``key.key=value``, in command-line order.
        run: folder of the run to resume; None starts a new run.
        origin: model to start from; without ``name``, the recipe trains that model's network.
        shortcuts: values of the options in :data:`SHORTCUTS`; None keeps the recipe's value.

    Raises:
        UnknownNameError: there is no such recipe.
        ConfigError: the recipe has errors; all of them are reported.
        CheckpointError: there is no run to resume, or its recipe is missing.
    """
    from trainers.recipes.loading import load_recipe

    more = [f"{SHORTCUTS[key]}={value}" for key, value in shortcuts.items() if value is not None]
    chosen = name or (recipe_of(run) if run else DEFAULT)
    network = network_of(origin) if origin and not name and not run else ()
    return load_recipe(chosen, (*network, *changes, *more))


def network_of(origin: str) -> tuple[str, ...]:
    """Return the recipe changes that select the network of a model.

    Raises:
        UsageError: there is no such model, run or file.
        WeightsError: the model's weights cannot be used.
    """
    from model_zoo import weights
    from model_zoo.catalogue.resolve import resolve_weights

    content = weights.read(resolve_weights(origin))
    return (
        f"model.architecture={content.architecture}",
        f"model.options={json.dumps(content.config)}",
        f"model.residual={json.dumps(content.metadata.get('residual', ''))}",
    )


def recipe_of(run: Path) -> str:
    """Return the recipe file of a run.

    Raises:
        CheckpointError: there is none, or the checkpoint was written by another version.
    """
    from model_zoo.catalogue.resolve import LAST, RECIPE, no_run
    from trainers.loop.checkpoint import require_format

    require_format(run)
    file = run / RECIPE
    if file.is_file():
        if not _values(file):
            raise CheckpointError(
                f"{file} is damaged. Use --recipe with the recipe that the run was started with"
            )
        return str(file)
    if (run / LAST).is_file():
        raise CheckpointError(f"{run} has no {RECIPE}. Use --recipe with the run's recipe")
    raise no_run(run)


def differences(run: Path, recipe: Recipe) -> list[str]:
    """List the values that a resumed run changes, e.g. ``schedule.steps 9 -> 12``."""
    from model_zoo.catalogue.resolve import RECIPE

    plain = json.loads(json.dumps(recipe.to_dict()))  # turns tuples into lists, as in the file
    before, now = (dict(_flat(values)) for values in (_values(run / RECIPE), plain))
    return [
        f"{key} {json.dumps(before.get(key))} -> {json.dumps(now.get(key))}"
        for key in sorted(before.keys() | now)
        if before and key != "name" and before.get(key) != now.get(key)
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield values with the dotted keys that ``--set`` uses."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _values(file: Path) -> dict[str, Any]:
    """Read the recipe in a file; empty if the file is damaged or missing."""
    try:
        values = parse_json(read_text(file))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


layout_option = click.option(
    "--layout",
    type=click.Choice(get_args(Layout)),
    help="How the data folder is laid out.  [default: the recipe's]",
)

validation_option = click.option(
    "--validation",
    multiple=True,
    type=SongsPath(),
    shell_complete=candidates.files,
    metavar="DIR|FILE",
    help="Validation songs, never trained on: folders with mixture.* and one file per stem, or any"
    " other layout; may be repeated.",
)

set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, e.g. schedule.steps=500; may be repeated.",
)


RESUME_HINT = "To resume, run the same command with --resume."


@click.command(
    "train",
    cls=TrainCommand,
    settings=("device",),
    epilog=examples(
        ("stem train --data songs", "a new network, with the default recipe"),
        ("stem train --data songs --from melroformer -o runs/mine", "start from a trained model"),
        ("stem train --data songs -o runs/mine --resume", "resume a stopped run"),
        ("stem train --data songs --set schedule.steps=500", "change one value of the recipe"),
        ("stem train --data songs --export mine", "then: stem separate --model mine ..."),
        ("stem train --cluster", "on a Ray cluster, with synthetic songs"),
        (
            "stem train --cluster --data /nfs/songs -o s3://bucket/run --workers 2:8",
            "with your songs",
        ),
    ),
)
@click.option(
    "--recipe",
    shell_complete=recipe_candidates,
    default="",
    metavar="NAME|FILE",
    help=f"A YAML file, or one of the bundled recipes: {', '.join(recipe_names())}."
    f"  [default: {DEFAULT}; with --resume the run's own, including its --set changes]",
)
@click.option(
    "--data",
    type=SongsPath(),
    shell_complete=candidates.files,
    metavar="DIR|FILE",
    help="Folder with the songs, or a CSV file that lists them.  [with --cluster the default is"
    " synthetic songs]",
)
@layout_option
@validation_option
@click.option(
    "-o",
    "--output",
    default="runs/latest",
    show_default=True,
    type=FolderOrUrl(),
    metavar="DIR|URL",
    help="Folder of the run; on a cluster, one that all machines can reach.",
)
@set_option
@click.option(
    "--from",
    "origin",
    type=candidates.ModelName(None),
    default="",
    metavar="NAME|RUN|FILE",
    help="Start from the weights of a model, a run or a .safetensors file. Without --recipe, that"
    " model's network is trained. Has no effect with --resume.",
)
@click.option("--resume", is_flag=True, help="Continue from the run's last checkpoint.")
@click.option(
    "--dry-run", is_flag=True, help="Run two steps, save nothing, and estimate the full run."
)
@click.option(
    "--export",
    default="",
    metavar="NAME",
    help="Add the best weights to your models under this name when the run ends.",
)
@click.option("--overwrite", is_flag=True, help="Let --export replace one of your models.")
@click.option(
    "-d",
    "--device",
    type=device_name,
    shell_complete=candidates.devices,
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto, cpu, cuda, cuda:N or mps.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    help="Floating-point precision of the network.  [default: the recipe's]",
)
@click.option("--seed", type=WholeNumber(0), help="Random seed.  [default: the recipe's]")
@click.option(
    "--cluster",
    is_flag=True,
    help="Train on a Ray cluster: the one at RAY_ADDRESS, or a new one on this machine.",
)
@click.option(
    "--workers",
    metavar="N|MIN:MAX",
    help="Training processes on the cluster; given a range, as many as fit.  [default:"
    " one per GPU, or one per machine without GPUs]",
)
@click.option(
    "--wait",
    type=NumberRange(min=0),
    metavar="SECONDS",
    help=f"How long to wait for free resources.  [default: {WAIT:g}; 0 without RAY_ADDRESS]",
)
@click.option(
    "--fsdp",
    is_flag=True,
    help="Shard the network over the workers (FSDP), so that it may exceed one device's memory.",
)
@console_options
@other_trainers_options
def command(
    *,
    recipe: str,
    data: Path | None,
    layout: str | None,
    validation: tuple[Path, ...],
    output: Path,
    changes: tuple[str, ...],
    origin: str,
    resume: bool,
    dry_run: bool,
    export: str,
    overwrite: bool,
    device: str,
    precision: str | None,
    seed: int | None,
    cluster: bool,
    workers: str | None,
    wait: float | None,
    fsdp: bool,
    console: Console,
) -> None:
    """Train your own network.

    A recipe holds all settings of a run. Use a bundled one (see trainers/recipes), or your own YAML
    file with "base: NAME" and the values that differ. The weights with the best validation score
    are kept or, without validation songs, the last ones. Ctrl-C stops after the current step.

    On a cluster, each worker takes loop.batch_size clips per step. When machines are lost, the run
    resumes from its last checkpoint; if --workers is a range, machines may also join later.
    """
    from model_zoo.catalogue.resolve import BEST, LAST, RECIPE
    from trainers.cli.display import open_display
    from trainers.cli.train_run import add_to_zoo, train_dry_run, train_here

    options = ClusterOptions(cluster, workers, wait, fsdp)
    options.check(data, output, dry_run)
    if cluster:
        check_output(output, data, resume)
    with nearby(output, *((RECIPE,) if resume else ())) as near:
        run = near if resume else None
        shortcuts = {"precision": precision, "seed": seed, "layout": layout}
        plan = choose_recipe(recipe, changes, run, origin, **shortcuts)
        changed = differences(near, plan) if resume else []
    if changed:
        console.line(f"Resuming with changed values: {'; '.join(changed)}")
    check_export(export, overwrite, plan.objective.name)
    job = TrainingJob(plan, data, validation, output, origin, fsdp)
    if dry_run:
        with problems_in_lines(data, console):
            train_dry_run(job, device, resume, console)
        return
    quiet = quiet_stderr(not console.verbose)
    source = str(data) if data else "synthetic songs"
    with (
        problems_in_lines(data, console),
        resume_hint(output / LAST),
        quiet,
        console,
        open_display(plan, console, source) as display,
    ):
        if cluster:
            train_clustered(job, options, device, console, display.show)
        else:
            train_here(job, device, resume, display.show)
    console.line(f"Weights: {output / BEST}")
    if export:
        console.line(f"Model: {add_to_zoo(output, export, overwrite, console)}")
    console.line(advice(export or output, plan.objective.name))


def check_export(name: str, overwrite: bool, objective: str) -> None:
    """Check before a long run that its result can be exported.

    Raises:
        ConfigError: the name is bundled, taken or invalid.
        UsageError: ``--overwrite`` comes without ``--export``, or the objective only pretrains.
    """
    from model_zoo.catalogue.install import PRETRAINING
    from model_zoo.catalogue.names import check_free

    if name and objective in PRETRAINING:
        raise UsageError(
            f"--export adds a model that separates, but {objective} only pretrains one. Leave it "
            "out, then start a new training with --from and this run's folder"
        )
    if name:
        check_free(name, overwrite, "export")
    elif overwrite:
        raise UsageError("--overwrite needs --export NAME, whose model it replaces")


@contextmanager
def resume_hint(sign: Path) -> Iterator[None]:
    """Print how to resume after Ctrl-C or SIGTERM, if there is something to resume.

    Args:
        sign: a file that exists if there is.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not sign.exists():
            raise
        raise KeyboardInterrupt(RESUME_HINT) from None
    except SystemExit:
        if sign.exists():
            click.echo(f"Stopped. {RESUME_HINT}", err=True)
        raise
