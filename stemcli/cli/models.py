"""``stem models``: list, add, convert, verify and remove models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model_zoo import registry
from model_zoo.catalogue.cards import cards
from model_zoo.catalogue.public import public_models
from model_zoo.catalogue.unknown import how_to_fetch, not_usable, see_list, unknown_model
from model_zoo.errors import NoModelError, UnknownNameError, nearest
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, millions, size
from stemcli.cli.lazy import CommandEntry, LazyGroup
from stemcli.cli.options import console_options
from stemcli.cli.parameter_types import WholeNumber

if TYPE_CHECKING:
    from model_zoo.catalogue.cards import State
    from model_zoo.catalogue.scores import CardScore
    from model_zoo.errors import CheckpointError
    from model_zoo.separator import Role


COMMANDS = {
    "list": CommandEntry(
        "stemcli.cli.models_list:command",
        "List models, or architectures to train.",
    ),
    "info": CommandEntry(
        "stemcli.cli.models_info:command", "Show details of a model or architecture."
    ),
    "advise": CommandEntry("stemcli.cli.models_advise:command", "Say which model to use."),
    "pull": CommandEntry("stemcli.cli.models_pull:pull_command", "Download public models."),
    "path": CommandEntry("stemcli.cli.models_pull:path_command", "Show where weights are."),
    "verify": CommandEntry(
        "stemcli.cli.models:verify_command", "Check that weights are undamaged."
    ),
    "add": CommandEntry("stemcli.cli.models:add_command", "Add a model that you trained."),
    "convert": CommandEntry("stemcli.cli.models:convert_command", "Add a model from a checkpoint."),
    "remove": CommandEntry(
        "stemcli.cli.models:remove_command", "Remove a model that you added or pulled."
    ),
}


@click.group(
    "models",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        ("stem models list", "names for --model and --phase-model"),
        ("stem models advise --stem drums", "which model to use, public ones too"),
        ("stem models info melroformer", "its stems, licence and scores"),
    ),
)
def group() -> None:
    """List, inspect, check and add models."""


def card_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a new card: ``--licence`` and ``--overwrite``."""
    licence = click.option(
        "--licence",
        default="not stated",
        show_default=True,
        help="Licence of the weights, as their source states it.",
    )
    overwrite = click.option(
        "--overwrite", is_flag=True, help="Replace a model that you added by this name."
    )
    return licence(overwrite(command))


@click.command(
    "add",
    epilog=examples(
        ("stem models add runs/mine --name mine", "then: stem separate --model mine ..."),
        ('stem models add friend.safetensors --name friend --licence "CC BY 4.0"', "from a file"),
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the model, for --model.")
@card_options
@console_options
def add_command(*, run: Path, name: str, licence: str, overwrite: bool, console: Console) -> None:
    """Add a model that you trained.

    RUN is the folder of a stem train run, or a .safetensors file that the run wrote. The best
    weights are copied to your zoo, with a card that records the training and the scores.
    """
    from model_zoo.catalogue.install import add_run
    from stemcli.engine.models import use_of

    card = add_run(run, name=name, licence=licence, overwrite=overwrite)
    console.document(card.to_dict())
    console.line(f"{card.name}: {millions(card.parameters)} parameters, {size(card.size)}")
    for score in card.scores:
        console.line(f"{score.stem}: {score.value:.2f} dB {score.metric} on {score.dataset}")
    role = registry.architecture(card.architecture).role
    console.line(f"Try: {use_of(quoted(card.name), role)}")


def unknown(name: str) -> UnknownNameError:
    """Return the error for a name that is neither a model nor an architecture."""
    models = [*cards(lambda damage: None)]
    near = nearest(name, [*models, *public_models(), *registry.ARCHITECTURES])
    if how_to_fetch(name) or not_usable(name) or near in {*models, *public_models()}:
        return unknown_model(name, models)
    if near is None:
        known = {*models, *registry.ARCHITECTURES}
        return UnknownNameError("model or architecture", name, known, hint=see_list())
    hint = "stem models list --architectures"
    return UnknownNameError("architecture", name, registry.ARCHITECTURES, hint=hint)


@click.command(
    "convert",
    epilog=examples(
        ("stem models convert Guitar.pth --name guitar", "then: stem separate --model guitar ..."),
        ("stem models convert umxl/*.pth --name umxl", "from Open-Unmix, a file for each stem"),
        ("stem models convert kim.ckpt --config kim.yaml --name kim", "a Roformer and its YAML"),
    ),
)
@click.argument(
    "checkpoints", metavar="CHECKPOINT...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--name", required=True, help="Name of the model, for --model.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="YAML",
    help="Configuration of a Roformer, SCNet or MDX23C, which is published beside its checkpoint.",
)
@click.option(
    "--stem",
    "stems",
    multiple=True,
    help="Stem that the network separates; may be repeated.  [default: from the files]",
)
@click.option(
    "--residual",
    default="",
    help="Name of the rest of the song.  [default: from the YAML, or no_STEM]",
)
@click.option(
    "--num-heads",
    type=WholeNumber(1),
    help="Attention heads of a MelRoFormer or HTDemucs.  [default: 4 and 8]",
)
@click.option(
    "--hop-size",
    type=WholeNumber(1),
    help="Hop in samples.  [default: from the YAML; for MSRKit a quarter of the window]",
)
@click.option(
    "--sample-rate", type=WholeNumber(1), help="Sample rate in Hz.  [default: from the files]"
)
@card_options
@console_options
def convert_command(
    *, checkpoints: tuple[Path, ...], name: str, console: Console, **choices: Any
) -> None:
    """Add a model from checkpoints of other programs.

    CHECKPOINT is the torch, safetensors or ONNX file of a network of Demucs v3 or v4, a public
    Roformer, SCNet, MDX23C or MSRKit, the folder of a Spleeter TensorFlow model, or one torch file
    per stem of a model of Spleeter or Open-Unmix. Its names and shapes tell which. No code in the
    files is run. The result is a safetensors file with a card in your zoo.
    """
    from model_zoo.importers import convert

    for source in checkpoints:
        refuse_folder(source)
    card = convert(checkpoints, name=name, **choices)
    console.document(card.to_dict())
    console.line(f"{card.name}: {millions(card.parameters)} parameters, {size(card.size)}")
    console.line(f"Try: stem separate SONG --model {quoted(card.name)}")


def refuse_folder(source: Path) -> None:
    """Refuse a folder that is not a Spleeter model.

    Raises:
        NoModelError: the folder is a training run, or has no TensorFlow checkpoint.
    """
    from model_zoo.catalogue.resolve import BEST
    from model_zoo.importers.tensorflow import index_file

    if not source.is_dir() or index_file(source):
        return
    if (source / BEST).is_file():
        raise NoModelError(
            f"{source} is the folder of a stem train run. Try: stem models add "
            f"{quoted(source)} --name NAME"
        )
    raise NoModelError(
        f"{source} is a folder without a TensorFlow checkpoint (model.index beside "
        "model.data-00000-of-00001). Use a folder that holds one, or a checkpoint file"
    )


USES: dict[Role, str] = {
    "stems": "stems of a song, with --model",
    "phase": "a phase for the same sound, with --phase-model",
    "codes": "codes, and the same sound decoded from them",
}

WITHOUT_STEMS: dict[Role, str] = {"phase": "a phase", "codes": "codes"}


ANOTHER = "An architecture has that name too. Try: stem models info {} --architecture"


def given(role: Role, stems: Sequence[str]) -> str:
    """What a network gives: names of stems, a phase, or codes."""
    return WITHOUT_STEMS.get(role, ", ".join(stems))


def score_row(score: CardScore) -> tuple[str, str, str, str]:
    """Format one score with its definition, without which the number means nothing."""
    metric = f"{score.metric} ({score.definition})" if score.definition else score.metric
    return score.stem, metric, f"{score.value:.2f}", score.dataset


@click.command(
    "remove",
    epilog=examples(
        ("stem models remove guitar", "delete its card and weights"),
        ("stem models remove htdemucs", "and what is left of its download"),
        ("stem models list", "see what is left"),
    ),
)
@click.argument("name", shell_complete=candidates.own_models)
@console_options
def remove_command(name: str, console: Console) -> None:
    """Remove a model that you added or pulled; bundled models cannot be removed.

    Cached downloads of a public model are removed as well: files that --keep kept, and what has
    arrived of a download that was interrupted.
    """
    from model_zoo.catalogue.pulled import remove_model

    removed = [str(path) for path in remove_model(name)]
    console.document({"name": name, "removed": removed})
    for path in removed:
        console.line(f"Removed {path}")


@click.command(
    "verify",
    epilog=examples(
        ("stem models verify", "check all models"),
        ("stem models verify melroformer --quiet", "check one; see the exit code"),
    ),
)
@click.argument("name", required=False, shell_complete=candidates.models)
@console_options
def verify_command(name: str | None, console: Console) -> None:
    """Check the weights of one model, or of all, against the checksums on their cards.

    For a converted model, also says which published files it came from.
    """
    from model_zoo.catalogue.cards import find, state

    damaged: list[CheckpointError] = []
    chosen = [find(name)] if name else list(cards(damaged.append).values())
    states = [with_origin(state(card)) for card in chosen]
    console.document([found.to_dict() for found in states])
    for found in states:
        if not found.problem:
            console.result(f"{found.name}: undamaged, {made_from(found)}{found.path}")
    problems = [found.problem for found in states if found.problem] + [str(e) for e in damaged]
    for problem in problems:
        console.error(problem)
    click.get_current_context().exit(1 if problems else 0)


def with_origin(found: State) -> State:
    """Add the public network that undamaged weights were made from."""
    from model_zoo.catalogue.pulled import published_as

    return replace(found, published_as=published_as(Path(found.path))) if found.path else found


def made_from(found: State) -> str:
    """Say whether the weights were made from the files of the catalogue; empty if it has none."""
    from model_zoo.catalogue.public import public_models

    if found.published_as:
        return f"made from the published {found.published_as}, "
    return "not made from the published files, " if found.name in public_models() else ""
