"""``stem models info``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from model_zoo.errors import UsageError
from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, millions, quoted, size

if TYPE_CHECKING:
    from model_zoo.anatomy import Part
    from model_zoo.card import Card, Score


DEPTH = 3

ANOTHER = "An architecture has that name too. Type: stem models info {} --architecture"


@click.command(
    "info",
    epilog=examples(
        ("stem models info melroformer", "its card and the parts of its network"),
        ("stem models info runs/mine", "the same of the best weights of a run, or of a file"),
        ("stem models info melunet --set stems=[vocals,drums]", "an architecture, for other stems"),
    ),
)
@click.argument("name", metavar="NAME|RUN|FILE")
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
    help="Draw an architecture with another option; may be repeated.",
)
@click.option(
    "--depth",
    type=click.IntRange(0),
    default=DEPTH,
    show_default=True,
    help="How deep the parts of the network are drawn.",
)
@console_options
def command(
    name: str, as_architecture: bool, changes: tuple[str, ...], depth: int, console: Console
) -> None:
    """Show all that is known of one model, run or architecture.

    Of a model, the folder of a run or a .safetensors file its card and its scores, of an
    architecture what it is for and how to train it; and of each the parts of the network, with the
    shapes that come out of them and their numbers of trainable values.
    """
    from model_zoo import registry
    from model_zoo.card import is_known
    from model_zoo.whereabouts import is_place
    from stemcli.cli.models.blueprint import unknown

    is_model, is_architecture = is_known(name), name in registry.ARCHITECTURES
    if is_architecture and (as_architecture or changes or not is_model):
        show_architecture(name, changes, depth, console)
    elif as_architecture and is_model:
        raise UsageError(f"{name!r} is no architecture. See: stem models list --architectures")
    elif not is_model and not is_place(name):
        raise unknown(name)
    else:
        show_model(name, changes, depth, console)


def show_architecture(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """Facts and parts of a network without weights."""
    from stemcli.cli.models.blueprint import Blueprint, parsed

    blueprint = Blueprint.of(name, parsed(changes))
    console.document(blueprint.to_dict())
    console.table(("=architecture", ""), [*blueprint.facts()])
    draw(blueprint.parts(), depth, console)


def show_model(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """The card, and the parts of the model's own network.

    Raises:
        UsageError: options of a network that has its weights.
    """
    from model_zoo import registry
    from model_zoo.whereabouts import is_place

    card, network = on_disk(name) if is_place(name) else on_shelf(name)
    if changes:
        raise UsageError(
            f"{name} is a model, whose options are fixed: type --set with an architecture, e.g. "
            f"stem models info {card.architecture} --set {quoted(changes[0])}"
        )
    has = network is not None and not is_place(name)
    parts = {part.name: part.parameters for part in network.parts} if network else {}
    tree = network.to_dict() if network else None
    known = {"name": name, "outputs": card.outputs, "installed": has, "parts": parts}
    console.document({**card.to_dict(), **known, "network": tree})
    console.table(("=card", ""), [*facts(name, card, has)])
    if card.scores:
        console.line()
        console.table(("stem", "score", ">value", "measured on"), [*map(score_row, card.scores)])
    if network:
        draw(network, depth, console)
    if name in registry.ARCHITECTURES:
        console.line()
        console.line(ANOTHER.format(name))


def on_shelf(name: str) -> tuple[Card, Part | None]:
    """A model of the zoo: its card, and the parts of its network if that is installed."""
    from model_zoo import weights
    from model_zoo.anatomy import anatomy
    from model_zoo.card import card_path, find
    from model_zoo.weightless import weightless
    from stemcli.cli.models.shelf import is_installed

    card = find(name)
    if not is_installed(card):
        return card, None
    path = card_path(name).with_name(card.file)
    return card, anatomy(weightless(*weights.read_network(path)))


def on_disk(name: str) -> tuple[Card, Part]:
    """The folder of a run or a file: what its card would say, and the parts of its network.

    Raises:
        NoModelError: there are no such weights.
        CheckpointError: they, or what the run says of them, are damaged.
    """
    from model_zoo import weights
    from model_zoo.adoption import described
    from model_zoo.anatomy import anatomy
    from model_zoo.weightless import weightless
    from model_zoo.whereabouts import locate

    path = locate(name)
    content = weights.read(path)
    network = weightless(content.architecture, content.config)
    return described(path, content, network), anatomy(network)


def draw(network: Part, depth: int, console: Console) -> None:
    """The tree of parts."""
    from stemcli.cli.models.drawing import COLUMNS, deeper, rows

    console.line()
    console.table(COLUMNS, [*rows(network, depth)])
    if deeper(network, depth):
        console.line()
        console.line(f"There is more inside: --depth {depth + 1}")


def facts(name: str, card: Card, is_installed: bool) -> Iterator[tuple[str, str]]:
    """The card in the order a musician asks; what is not known is left out."""
    from model_zoo.whereabouts import is_place

    known: dict[str, Any] = {
        "name": name,
        "description": card.description,
        "stems": ", ".join(card.outputs),
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
        "installed": "" if is_place(name) else "yes" if is_installed else "no",
    }
    return ((key, value) for key, value in known.items() if value)


def score_row(score: Score) -> tuple[str, str, str, str]:
    """One score with its definition, because a number without it says nothing."""
    metric = f"{score.metric} ({score.definition})" if score.definition else score.metric
    return score.stem, metric, f"{score.value:.2f}", score.dataset
