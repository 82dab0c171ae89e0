"""``stem train``: options, choice of the recipe, and start of the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click

from model_zoo.errors import CheckpointError, UsageError
from model_zoo.parsing import parse_json, read_text
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import NumberRange, console_options
from stemcli.cli.options import device as device_name
from stemcli.streams import quiet_stderr
from trainers.cli.train_run import ClusterOptions, advice, check_place, nearby, train_clustered
from trainers.cluster.job import WAIT, TrainingJob
from trainers.config import Recipe
from trainers.config.data import Layout
from trainers.recipes.loading import load_recipe, recipe_names

DEFAULT = "quick"
SHORTCUTS = {"precision": "loop.precision", "seed": "seed", "layout": "data.layout"}
"""Options with a name of their own, and what of the recipe they change."""


def choose_recipe(
    name: str,
    changes: tuple[str, ...],
    run: Path | None,
    origin: str = "",
    **shortcuts: str | int | None,
) -> Recipe:
    """The recipe that was asked for.

    Args:
        name: of a recipe, or a file; empty takes that of ``run``, or the default.
        changes: ``key.key=value``, in the order typed.
        run: folder of the run to go on with; None begins anew.
        origin: model to start from; where no recipe is named, its network is the recipe's.
        shortcuts: values of the options in :data:`SHORTCUTS`; None leaves the recipe as it is.

    Raises:
        UnknownNameError: no such recipe.
        ConfigError: it has mistakes; all of them are named.
        CheckpointError: there is no run to go on with, or it does not say by which recipe.
    """
    more = [f"{SHORTCUTS[key]}={value}" for key, value in shortcuts.items() if value is not None]
    chosen = name or (recipe_of(run) if run else DEFAULT)
    network = network_of(origin) if origin and not name and not run else ()
    return load_recipe(chosen, (*network, *changes, *more))


def network_of(origin: str) -> tuple[str, ...]:
    """What makes a recipe train the network of a model.

    Raises:
        UsageError: there is no such model, run or file.
        WeightsError: its weights cannot be used.
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
    """The file with the recipe of a run.

    Raises:
        CheckpointError: there is none, or another version of the program wrote its checkpoint.
    """
    from model_zoo.catalogue.resolve import LAST, RECIPE, no_run
    from trainers.loop.checkpoint import require_format

    require_format(run)
    file = run / RECIPE
    if file.is_file():
        if not _values(file):
            raise CheckpointError(
                f"{file} is damaged. Type --recipe with the one that the run was made by"
            )
        return str(file)
    if (run / LAST).is_file():
        raise CheckpointError(f"{run} has no {RECIPE}. Type --recipe with the one it was made by")
    raise no_run(run)


def differences(run: Path, recipe: Recipe) -> list[str]:
    """What a recipe changes about the run that it resumes, e.g. ``schedule.steps 9 -> 12``."""
    from model_zoo.catalogue.resolve import RECIPE

    plain = json.loads(json.dumps(recipe.to_dict()))  # with lists for tuples, as in the file
    before, now = (dict(_flat(values)) for values in (_values(run / RECIPE), plain))
    return [
        f"{key} {json.dumps(before.get(key))} -> {json.dumps(now.get(key))}"
        for key in sorted(before.keys() | now)
        if before and key != "name" and before.get(key) != now.get(key)
    ]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Values by the names that ``--set`` knows them by."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _values(file: Path) -> dict[str, Any]:
    """The recipe in a file; empty where it is damaged or missing."""
    try:
        values = parse_json(read_text(file))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


TABLE = ".csv"


class FolderOrUrl(click.ParamType[Path]):
    """A folder of this machine, or a URL."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path that was typed."""
        from stemcli.remote_path import as_path

        return as_path(value) if isinstance(value, str) else value


def songs(text: str) -> Path:
    """A folder, or a CSV file."""
    path = Path(text)
    if not text or not path.exists():
        raise click.BadParameter(f"{text!r} does not exist. Type a folder, or a {TABLE} file")
    if not path.is_dir() and path.suffix.lower() != TABLE:
        raise click.BadParameter(f"{text!r} is neither a folder nor a {TABLE} file")
    return path


layout_option = click.option(
    "--layout",
    type=click.Choice(get_args(Layout)),
    help="How the data are laid out.  [default: the recipe's]",
)

validation_option = click.option(
    "--validation",
    multiple=True,
    type=songs,
    metavar="DIR|FILE",
    help="Songs to validate, never trained on: a folder with mixture.* and one file per stem, or"
    " with songs in any layout; may be repeated.",
)

set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one value of the recipe, e.g. schedule.steps=500; may be repeated.",
)


GO_ON = "To go on, run the same command with --resume."


@click.command(
    "train",
    epilog=examples(
        ("stem train --data songs", "from nothing, by the default recipe"),
        ("stem train --data songs --from melroformer -o runs/mine", "from a trained model"),
        ("stem train --data songs -o runs/mine --resume", "go on where it stopped"),
        ("stem train --data songs --set schedule.steps=500", "with another value"),
        ("stem train --data songs --export mine", "then: stem separate --model mine ..."),
        ("stem train --cluster", "on a Ray cluster, from songs that it makes itself"),
        ("stem train --cluster --data /nfs/songs -o s3://bucket/run --workers 2:8", ""),
    ),
)
@click.option(
    "--recipe",
    default="",
    metavar="NAME|FILE",
    help=f"A YAML file, or a recipe of the program: {', '.join(recipe_names())}."
    f"  [default: {DEFAULT}; with --resume the run's own, with all that --set changed in it]",
)
@click.option(
    "--data",
    type=songs,
    metavar="DIR|FILE",
    help="Folder with the songs, or a CSV file that lists them.  [with --cluster alone: songs made"
    " by formula]",
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
    help="Folder of the run; on a cluster one that all machines see.",
)
@set_option
@click.option(
    "--from",
    "origin",
    default="",
    metavar="NAME|RUN|FILE",
    help="Start from the weights of a model, of a run or of a .safetensors file; without --recipe"
    " its network is trained. A run that is resumed has its own.",
)
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option(
    "--dry-run", is_flag=True, help="Take two steps, keep nothing, say what the run will need."
)
@click.option(
    "--export",
    default="",
    metavar="NAME",
    help="Add the best weights to your models under this name when the run is over.",
)
@click.option("--overwrite", is_flag=True, help="Let --export replace a model of yours.")
@click.option(
    "-d",
    "--device",
    type=device_name,
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto, cpu, cuda, cuda:N or mps.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    help="Numbers the network computes with.  [default: the recipe's]",
)
@click.option(
    "--seed", type=click.IntRange(0), help="Start of all random choices.  [default: the recipe's]"
)
@click.option(
    "--cluster",
    is_flag=True,
    help="Train on the machines of a Ray cluster: the one that RAY_ADDRESS names, else this machine"
    " alone.",
)
@click.option(
    "--workers",
    metavar="N|MIN:MAX",
    help="Processes that train together on the cluster; of a range as many as find room.  [default:"
    " one for each GPU, or for each machine without any]",
)
@click.option(
    "--wait",
    type=NumberRange(min=0),
    metavar="SECONDS",
    help=f"How long to wait for room for the workers.  [default: {WAIT:g}; on this machine"
    " alone 0]",
)
@click.option(
    "--fsdp",
    is_flag=True,
    help="Let each worker hold a part of the network, which may then be larger than one device.",
)
@console_options
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
    """Train a network of your own.

    A recipe says what is learned and how. Those of the program are in its folder trainers/recipes;
    yours may be a YAML file with "base: NAME" and what differs. The weights that do best on the
    validation songs are kept; without such songs, the last ones. Ctrl-C stops after the current
    step.

    On a cluster each worker takes loop.batch_size clips a step. The run goes on from its last
    checkpoint when machines are lost, and takes late ones in where --workers is a range.
    """
    from model_zoo.catalogue.resolve import BEST, LAST, RECIPE
    from trainers.cli.display import open_display
    from trainers.cli.train_run import add_to_zoo, train_dry_run, train_here

    wish = ClusterOptions(cluster, workers, wait, fsdp)
    wish.check(data, output, dry_run)
    if cluster:
        check_place(output, data, resume)
    with nearby(output, *((RECIPE,) if resume else ())) as near:
        plan = choose_recipe(
            recipe,
            changes,
            near if resume else None,
            origin,
            precision=precision,
            seed=seed,
            layout=layout,
        )
        changed = differences(near, plan) if resume else []
    if changed:
        console.line(f"Resuming with changed values: {'; '.join(changed)}")
    check_export(export, overwrite, plan.objective.name)
    job = TrainingJob(plan, data, validation, output, origin, fsdp)
    if dry_run:
        train_dry_run(job, device, resume, console)
        return
    quiet = quiet_stderr(not console.verbose)
    source = str(data) if data else "songs made by formula"
    with goes_on(output / LAST), quiet, console, open_display(plan, console, source) as display:
        if cluster:
            train_clustered(job, wish, device, console, display.show)
        else:
            train_here(job, device, resume, display.show)
    console.line(f"Weights: {output / BEST}")
    if export:
        console.line(f"Model: {add_to_zoo(output, export, overwrite, console)}")
    console.line(advice(export or output, plan.objective.name))


def check_export(name: str, overwrite: bool, objective: str) -> None:
    """Refuse before a long run what would fail after it.

    Raises:
        ConfigError: the name is bundled, taken or unfit.
        UsageError: ``--overwrite`` has nothing to replace, or what is learned separates nothing.
    """
    from model_zoo.catalogue.install import PRETRAINING, check_free

    if name and objective in PRETRAINING:
        raise UsageError(
            f"--export makes a model that separates, and {objective} pretrains one: leave it out, "
            "and start a training from the run's folder with --from"
        )
    if name:
        check_free(name, overwrite, "--export")
    elif overwrite:
        raise UsageError("--overwrite replaces a model: add --export with its name, or leave it")


@contextmanager
def goes_on(sign: Path) -> Iterator[None]:
    """Say after Ctrl-C or SIGTERM how to go on, where there is something to go on from.

    Args:
        sign: the file that is there if so.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not sign.exists():
            raise
        raise KeyboardInterrupt(GO_ON) from None
    except SystemExit:
        if sign.exists():
            click.echo(f"Ended. {GO_ON}", err=True)
        raise
