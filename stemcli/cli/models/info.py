"""``stem models info``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from model_zoo.errors import CheckpointError, ConfigError, UsageError
from stemcli.cli.console import Console
from stemcli.cli.models.gives import USES, WITHOUT_STEMS
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, millions, quoted, size

if TYPE_CHECKING:
    from model_zoo.anatomy import Part
    from model_zoo.card import Card, Score
    from model_zoo.separator import Role


DEPTH = 3

ANOTHER = "An architecture has that name too. Type: stem models info {} --architecture"


@click.command(
    "info",
    epilog=examples(
        ("stem models info melroformer", "its card and the parts of its network"),
        (
            "stem models info melunet --set num_layers=3 --set 'stems=[vocals,drums]'",
            "an architecture, which has no weights yet, in a size of your own",
        ),
        ("stem models info mine.safetensors", "what a file of weights belongs to"),
    ),
)
@click.argument("name", metavar="NAME|FILE")
@click.option(
    "--architecture",
    "as_architecture",
    is_flag=True,
    help="Where a model has that name too, show the architecture.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Draw an architecture with another value of an option, e.g. num_layers=4; may be repeated."
    " Where a model has that name too, the architecture is meant.",
)
@click.option(
    "--depth",
    type=click.IntRange(0),
    metavar="LEVELS",
    default=DEPTH,
    show_default=True,
    help="How deep the parts of the network are drawn.",
)
@console_options
def command(
    name: str, as_architecture: bool, changes: tuple[str, ...], depth: int, console: Console
) -> None:
    """Show all that is known of one model or architecture.

    It is named as in stem models list, with or without --architectures, or by its .safetensors
    file. Shown are of a model its card and its scores, of an architecture what it is for and how to
    train it; and of all the parts of the network, with the shapes that come out of them and their
    numbers of trainable values. No weights are loaded.
    """
    from model_zoo import registry
    from stemcli.cli.models.asked import is_weights, unknown
    from stemcli.cli.models.shelf import has_card

    is_model, is_architecture = has_card(name), name in registry.ARCHITECTURES
    if is_architecture and (as_architecture or changes or not is_model):
        show_architecture(name, changes, depth, console)
    elif as_architecture and (is_model or is_weights(name)):
        raise UsageError(f"{name!r} is no architecture. See: stem models list --architectures")
    elif is_model:
        show_model(name, changes, depth, console)
    elif is_weights(name):
        show_file(name, changes, depth, console)
    else:
        raise unknown(name)


def show_architecture(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """Facts and parts of a network without weights."""
    with console.busy(f"Drawing {name}"):
        from stemcli.cli.models.blueprint import Blueprint, parsed

        blueprint = Blueprint.of(name, parsed(changes))
    console.document(blueprint.to_dict())
    console.table(("=architecture", ""), [*blueprint.facts()])
    draw(blueprint.parts, depth, console)


def show_file(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """Facts and parts of the network that a file of weights belongs to.

    Raises:
        UsageError: it belongs to none, or options were typed.
    """
    with console.busy(f"Drawing {name}"):
        from model_zoo import weights
        from stemcli.cli.models.blueprint import Blueprint

        try:
            architecture, options = weights.read_network(name)
        except CheckpointError as error:
            raise UsageError(str(error)) from error
        refuse_changes(name, architecture, changes)
        blueprint = Blueprint.of(architecture, options, where=name)
    console.document({"file": name, **blueprint.to_dict()})
    _, *rows = blueprint.facts()
    console.table(("=file", ""), [("name", name), ("architecture", architecture), *rows])
    draw(blueprint.parts, depth, console)


def show_model(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """The card, and the parts of the model's own network.

    Raises:
        UsageError: options of a network that has its weights.
    """
    from model_zoo import registry
    from model_zoo.card import find
    from stemcli.cli.models.shelf import is_installed

    card = find(name)
    refuse_changes(name, card.architecture, changes)
    has, role = is_installed(card), registry.role(card.architecture)
    with console.busy(f"Drawing {name}"):
        network, why_not = parts_of(card) if has else (None, "")
    parts = {part.name: part.parameters for part in network.parts} if network else {}
    tree = network.to_dict() if network else None
    known = {"outputs": card.outputs, "role": role, "installed": has}
    console.document({**card.to_dict(), **known, "parts": parts, "network": tree})
    console.table(("=card", ""), [*facts(card, role, has)])
    if card.scores:
        console.line()
        console.table(("stem", "score", ">value", "measured on"), [*map(score_row, card.scores)])
    if network:
        draw(network, depth, console)
    elif why_not:
        console.line()
        console.line(why_not)
    if name in registry.ARCHITECTURES:
        console.line()
        console.line(ANOTHER.format(name))


def refuse_changes(name: str, architecture: str, changes: tuple[str, ...]) -> None:
    """Weights fit one network only.

    Raises:
        UsageError: options were typed.
    """
    if changes:
        example = changes[0] if "=" in changes[0] else "num_layers=4"
        raise UsageError(
            f"{name} is a model, whose options are fixed: type --set with an architecture, e.g. "
            f"stem models info {architecture} --set {quoted(example)}"
        )


def parts_of(card: Card) -> tuple[Part | None, str]:
    """The parts of the network of a model that is installed, or why there is no drawing."""
    from model_zoo import weights
    from model_zoo.anatomy import anatomy
    from model_zoo.card import card_path
    from model_zoo.weightless import weightless

    path = card_path(card.name).with_name(card.file)
    try:
        return anatomy(weightless(*weights.read_network(path))), ""
    except (ConfigError, CheckpointError) as error:
        return None, f"Its network cannot be drawn ({error}). See: stem models verify {card.name}"


def draw(network: Part, depth: int, console: Console) -> None:
    """The tree of parts."""
    from stemcli.cli.models.drawing import COLUMNS, deeper, rows

    console.line()
    console.table(COLUMNS, [*rows(network, depth)])
    if deeper(network, depth):
        console.line()
        console.line(f"There is more inside: --depth {depth + 1}")


def facts(card: Card, role: Role, is_installed: bool) -> Iterator[tuple[str, str]]:
    """The card in the order a musician asks; what is not known is left out."""
    known: dict[str, Any] = {
        "name": card.name,
        "description": card.description,
        "gives": USES[role],
        "stems": "" if role in WITHOUT_STEMS else ", ".join(card.outputs),
        "licence": card.licence,
        "made by": card.source,
        "learned from": card.training_data,
        "architecture": card.architecture,
        "paper": card.paper,
        "sample rate": f"{card.sample_rate} Hz",
        "parameters": millions(card.parameters),
        "overlap": f"{card.overlap:g}",
        "fetched from": card.url,
        "file": f"{card.file}, {size(card.size)}" if card.file else "",
        "sha256": card.sha256,
        "installed": "yes" if is_installed else "no",
    }
    return ((key, value) for key, value in known.items() if value)


def score_row(score: Score) -> tuple[str, str, str, str]:
    """One score with its definition, because a number without it says nothing."""
    metric = f"{score.metric} ({score.definition})" if score.definition else score.metric
    return score.stem, metric, f"{score.value:.2f}", score.dataset
