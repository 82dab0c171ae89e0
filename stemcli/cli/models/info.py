"""``stem models info``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from model_zoo.errors import CheckpointError, ConfigError, UsageError
from stemcli.cli.console import Console
from stemcli.cli.models.gives import USES, WITHOUT_STEMS
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, memory, millions, quoted, size

if TYPE_CHECKING:
    from model_zoo.anatomy import Part
    from model_zoo.card import Card, Score, SpeedRecord
    from model_zoo.separator import Role

DEPTH = 3

SPEEDS = (">x real time", ">memory", ">GPU memory", ">start", "precision", "measured")

ANOTHER = "An architecture has that name too. Type: stem models info {} --architecture"


@click.command(
    "info",
    epilog=examples(
        ("stem models info melroformer", "its card and the parts of its network"),
        (
            "stem models info melunet --set num_layers=3 --set 'stems=[vocals,drums]'",
            "an architecture, which has no weights yet, in a size of your own",
        ),
        ("stem models info runs/mine", "the best weights of a run, or those in a file"),
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
    """Show all that is known of one model, run or architecture.

    It is named as in stem models list, with or without --architectures, or by the folder of a run
    or a .safetensors file. Shown are of a model its card and its scores, of an architecture what it
    is for and how to train it; and of all the parts of the network, with the shapes that come out
    of them and their numbers of trainable values.
    """
    from model_zoo import registry
    from model_zoo.card import is_known
    from model_zoo.whereabouts import is_place
    from stemcli.cli.models.asked import unknown

    is_model, is_architecture = is_known(name), name in registry.ARCHITECTURES
    if is_architecture and (as_architecture or changes or not is_model):
        show_architecture(name, changes, depth, console)
    elif not is_model and not is_place(name):
        raise unknown(name)
    elif as_architecture:
        raise UsageError(f"{name!r} is no architecture. See: stem models list --architectures")
    else:
        show_model(name, changes, depth, console)


def show_architecture(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """Facts and parts of a network without weights."""
    with console.busy(f"Drawing {name}"):
        from stemcli.cli.models.blueprint import Blueprint, parsed

        blueprint = Blueprint.of(name, parsed(changes))
    console.document(blueprint.to_dict())
    console.table(("=architecture", ""), [*blueprint.facts()])
    draw(blueprint.parts, depth, console)


def show_model(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """The card, and the parts of the model's own network.

    Raises:
        UsageError: options of a network that has its weights.
    """
    from model_zoo import registry
    from model_zoo.whereabouts import is_place

    with console.busy(f"Drawing {name}"):
        found = on_disk(name) if is_place(name) else on_shelf(name)
    card, network = found.card, found.network
    refuse_changes(name, card.architecture, changes)
    role = registry.role(card.architecture)
    parts = {part.name: part.parameters for part in network.parts} if network else {}
    tree = network.to_dict() if network else None
    known = {"name": name, "outputs": card.outputs, "role": role, "installed": found.is_installed}
    drawn = {"options": found.options, "parts": parts, "network": tree}
    console.document({**card.to_dict(), **known, **drawn})
    console.table(("=card", ""), [*facts(name, card, role, found.is_installed)])
    if card.scores:
        console.result()
        console.table(("stem", "score", ">value", "measured on"), [*map(score_row, card.scores)])
    if card.speeds:
        console.result()
        console.table(SPEEDS, [*map(speed_row, card.speeds)])
    if network:
        draw(network, depth, console)
    elif found.why_not:
        console.line()
        console.line(found.why_not)
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


@dataclass(frozen=True)
class Found:
    """A model that was asked for.

    Attributes:
        card: what is known of it.
        is_installed: whether the zoo has its weights; never of a run or a file.
        options: of its network.
        network: the parts of that; None where there are no weights, or it cannot be drawn.
        why_not: why it cannot be drawn.
    """

    card: Card
    is_installed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    network: Part | None = None
    why_not: str = ""


def on_shelf(name: str) -> Found:
    """A model of the zoo."""
    from model_zoo import weights
    from model_zoo.anatomy import anatomy
    from model_zoo.card import card_path, find
    from model_zoo.weightless import weightless
    from stemcli.cli.models.shelf import is_installed

    card = find(name)
    if not is_installed(card):
        return Found(card)
    try:
        architecture, options = weights.read_network(card_path(name).with_name(card.file))
        return Found(card, True, options, anatomy(weightless(architecture, options)))
    except (ConfigError, CheckpointError) as error:
        why = f"Its network cannot be drawn ({error}). See: stem models verify {name}"
        return Found(card, True, why_not=why)


def on_disk(name: str) -> Found:
    """The folder of a run or a file: what its card would say, and the parts of its network.

    Raises:
        NoModelError: there are no such weights.
        CheckpointError: they, or what the run says of them, are damaged.
    """
    from model_zoo import weights
    from model_zoo.adoption import described
    from model_zoo.anatomy import anatomy
    from model_zoo.whereabouts import locate

    path = locate(name)
    content = weights.read(path)
    card = described(path, content, content.network)
    return Found(card, options=content.config, network=anatomy(content.network))


def draw(network: Part, depth: int, console: Console) -> None:
    """The tree of parts."""
    from stemcli.cli.models.drawing import COLUMNS, deeper, rows

    console.result()
    console.table(COLUMNS, [*rows(network, depth)])
    if deeper(network, depth):
        console.line()
        console.line(f"There is more inside: --depth {depth + 1}")


def facts(name: str, card: Card, role: Role, is_installed: bool) -> Iterator[tuple[str, str]]:
    """The card in the order a musician asks; what is not known is left out."""
    from model_zoo.card import BUNDLED
    from model_zoo.whereabouts import is_place

    known: dict[str, Any] = {
        "name": name,
        "description": card.description,
        "gives": USES[role],
        "stems": "" if role in WITHOUT_STEMS else ", ".join(card.outputs),
        "licence": card.licence,
        "licence text": str(BUNDLED / card.licence_file) if card.licence_file else "",
        "authors": card.authors,
        "source": card.source,
        "trained on": card.training_data,
        "limits": card.limits,
        "better": ", ".join(card.better),
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


def speed_row(record: SpeedRecord) -> tuple[str, ...]:
    """One speed with its definition and its machine."""
    return (
        f"{record.times_real_time:.1f}",
        memory(record.memory),
        memory(record.gpu_memory),
        f"{record.start_seconds:.1f} s",
        record.precision,
        f"{record.machine}; {record.definition}",
    )
