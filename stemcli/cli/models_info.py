"""``stem models info``: the card of a model, or the layers of a network as a tree."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from model_zoo import registry
from model_zoo.errors import CheckpointError, ConfigError, UsageError
from model_zoo.introspection import LayerInfo, build_on_meta, layer_tree
from model_zoo.parsing import parse_change
from model_zoo.separator import Separator
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, memory, millions, quoted, size
from stemcli.cli.models import USES, WITHOUT_STEMS
from stemcli.cli.options import console_options

if TYPE_CHECKING:
    from rich.tree import Tree

    from model_zoo.catalogue.cards import Card, CardScore, SpeedRecord
    from model_zoo.separator import Role

SOURCE = re.compile(r"\b(19|20)\d\d\b|https?://|arXiv")
"""By which a paragraph of a docstring is known that names the paper."""


@dataclass(frozen=True)
class Blueprint:
    """A network of an architecture, without storage.

    Attributes:
        name: of the architecture.
        network: on the device "meta".
        parts: the tree of them.
    """

    name: str
    network: Separator
    parts: LayerInfo

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any], where: str = "--set") -> Blueprint:
        """The architecture in its usual size, but for ``options``.

        Args:
            name: of the architecture.
            options: of its constructor.
            where: they were found.

        Raises:
            UnknownNameError: there is no such architecture.
            ConfigError: options are unknown or contradict each other, or the network is too large.
        """
        try:
            network = build_on_meta(name, options)
            return cls(name, network, layer_tree(network))
        except ConfigError as error:
            known = {**registry.architecture(name).Config().to_dict(), **options}
            raise ConfigError(where, [told(each, known) for each in error.mistakes]) from error
        except (RuntimeError, MemoryError) as error:
            # PyTorch counts the bytes of a tensor in 63 bits.
            mistake = "a network of this size cannot be described. Use smaller numbers"
            raise ConfigError(where, [mistake]) from error

    def facts(self) -> Iterator[tuple[str, str]]:
        """In the order a musician asks; what is not known is left out."""
        network, (title, source) = self.network, described(type(self.network))
        known = {
            "name": self.name,
            "purpose": network.purpose,
            "network": title,
            "origin": source,
            "gives": USES[network.role],
            "stems": "" if network.role in WITHOUT_STEMS else ", ".join(network.stems),
            "sample rate": f"{network.sample_rate} Hz",
            "channels": f"{network.channels} at once" if network.channels > 1 else "one by one",
            "segment": f"{network.segment / network.sample_rate:.2f} s",
            "parameters": millions(network.parameter_count()),
            "recipe": f"{self.name} (stem train --recipe {self.name})",
            "search space": f"{self.name} (stem tune {self.name})",
        }
        return ((key, value) for key, value in known.items() if value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the tree of the parts."""
        network, (title, source) = self.network, described(type(self.network))
        return {
            "architecture": self.name,
            "purpose": network.purpose,
            "title": title,
            "source": source,
            "role": network.role,
            "stems": network.stems,
            "sample_rate": network.sample_rate,
            "channels": network.channels,
            "segment": network.segment,
            "parameters": network.parameter_count(),
            "recipe": self.name,
            "space": self.name,
            "options": network.config.to_dict(),
            "network": self.parts.to_dict(),
        }


def described(kind: type[Separator]) -> tuple[str, str]:
    """The first line of the module of a class, and the paragraph there that names a paper."""
    text = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
    title, *others = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return title, next((each for each in others if SOURCE.search(each)), "")


def told(mistake: str, options: Mapping[str, Any]) -> str:
    """A mistake with the values of the options that it names, where it does not have them yet."""
    names = [name for name in options if re.search(rf"\b{name}\b", mistake)]
    if not names or "found" in mistake or mistake.startswith("unknown"):
        return mistake
    values = [f"{name}={json.dumps(options[name], ensure_ascii=False)}" for name in names]
    return f"{mistake}, found {' and '.join(values)}"


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Options of an architecture as they were typed, ``key=value``, values in YAML.

    Raises:
        ConfigError: one of them cannot be understood.
    """
    return dict(parse_change(change, "num_layers=4") for change in changes)


DEPTH = 3

SPEEDS = (">x real time", ">memory", ">GPU memory", ">start", "precision", "measured")

ANOTHER = "An architecture has that name too. Try: stem models info {} --architecture"


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
    from model_zoo.catalogue.cards import is_known
    from model_zoo.catalogue.resolve import is_path
    from stemcli.cli.models import unknown

    is_model, is_architecture = is_known(name), name in registry.ARCHITECTURES
    if is_architecture and (as_architecture or changes or not is_model):
        show_architecture(name, changes, depth, console)
    elif not is_model and not is_path(name):
        raise unknown(name)
    elif as_architecture:
        raise UsageError(f"{name!r} is no architecture. See: stem models list --architectures")
    else:
        show_model(name, changes, depth, console)


def show_architecture(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """Facts and parts of a network without weights."""
    with console.busy(f"Drawing {name}"):
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
    from model_zoo.catalogue.resolve import is_path

    with console.busy(f"Drawing {name}"):
        found = at_path(name) if is_path(name) else in_zoo(name)
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
class ResolvedModel:
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
    network: LayerInfo | None = None
    why_not: str = ""


def in_zoo(name: str) -> ResolvedModel:
    """A model of the zoo."""
    from model_zoo import weights
    from model_zoo.catalogue.cards import card_path, find, is_installed
    from model_zoo.introspection import build_on_meta, layer_tree

    card = find(name)
    if not is_installed(card):
        return ResolvedModel(card)
    try:
        architecture, options = weights.read_network(card_path(name).with_name(card.file))
        return ResolvedModel(card, True, options, layer_tree(build_on_meta(architecture, options)))
    except (ConfigError, CheckpointError) as error:
        why = f"Its network cannot be drawn ({error}). See: stem models verify {name}"
        return ResolvedModel(card, True, why_not=why)


def at_path(name: str) -> ResolvedModel:
    """The folder of a run or a file: what its card would say, and the parts of its network.

    Raises:
        NoModelError: there are no such weights.
        CheckpointError: they, or what the run says of them, are damaged.
    """
    from model_zoo import weights
    from model_zoo.catalogue.install import described
    from model_zoo.catalogue.resolve import resolve_weights
    from model_zoo.introspection import layer_tree

    path = resolve_weights(name)
    content = weights.read(path)
    card = described(path, content, content.network)
    return ResolvedModel(card, options=content.config, network=layer_tree(content.network))


def draw(network: LayerInfo, depth: int, console: Console) -> None:
    """The layers as a tree, and a hint if there are deeper ones."""
    console.result()
    console.draw(tree(network, depth))
    if network.depth > depth:
        console.line()
        console.line(f"There is more inside: --depth {depth + 1}")


def tree(network: LayerInfo, depth: int) -> Tree:
    """The network with the total of its parameters, and its layers to that depth."""
    from rich.tree import Tree

    root = Tree(f"{network.kind}  ({network.described_shape})  {network.parameters:,} parameters")
    grow(root, network.parts, depth)
    return root


def grow(branch: Tree, layers: Sequence[LayerInfo], depth: int) -> None:
    """Add layers to a branch; a list of equal layers is one of them, like ``freq_blocks x12``."""
    for layer in layers if depth else ():
        name = f"{layer.name} x{layer.times}" if layer.times > 1 else layer.name
        gives = f"({layer.described_shape})" if layer.shape else ""
        words = [name, layer.kind, gives, parameters(layer)]
        grow(branch.add("  ".join(filter(None, words))), layer.parts, depth - 1)


def parameters(layer: LayerInfo) -> str:
    """Trainable values; of several equal layers those of each."""
    if layer.times > 1 and layer.parameters:
        return f"{layer.times} x {layer.parameters // layer.times:,}"
    return f"{layer.parameters:,}" if layer.parameters else ""


def facts(name: str, card: Card, role: Role, is_installed: bool) -> Iterator[tuple[str, str]]:
    """The card in the order a musician asks; what is not known is left out."""
    from model_zoo.catalogue.cards import BUNDLED
    from model_zoo.catalogue.resolve import is_path

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
        "installed": "" if is_path(name) else "yes" if is_installed else "no",
    }
    return ((key, value) for key, value in known.items() if value)


def score_row(score: CardScore) -> tuple[str, str, str, str]:
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
