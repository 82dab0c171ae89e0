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
from model_zoo.parsing import parse_change
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, memory, millions, size
from stemcli.cli.models import ANOTHER, USES, WITHOUT_STEMS, score_row, unknown
from stemcli.cli.options import console_options
from stemcli.cli.parameter_types import WholeNumber

if TYPE_CHECKING:
    from rich.tree import Tree

    from model_zoo.catalogue.cards import Card, SpeedRecord
    from model_zoo.introspection import LayerInfo
    from model_zoo.separator import Role, Separator

SOURCE = re.compile(r"\b(19|20)\d\d\b|https?://|arXiv")
"""Pattern of a docstring paragraph that names the paper."""


@dataclass(frozen=True)
class Blueprint:
    """A network of an architecture, without storage.

    Attributes:
        name: name of the architecture.
        network: the network, on the device "meta".
        parts: tree of its layers.
    """

    name: str
    network: Separator
    parts: LayerInfo

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any], where: str = "--set") -> Blueprint:
        """Build an architecture with default options except ``options``.

        Args:
            name: name of the architecture.
            options: constructor options that differ from the defaults.
            where: source of the options, for messages.

        Raises:
            UsageError: there is no such architecture, or the options are wrong or too large.
        """
        from model_zoo.introspection import build_on_meta, layer_tree

        try:
            network = build_on_meta(name, options)
            return cls(name, network, layer_tree(network))
        except ConfigError as error:
            known = {**registry.architecture(name).Config().to_dict(), **options}
            mistakes = [with_values(each, known) for each in error.mistakes]
            raise ConfigError(where, mistakes) from error
        except (RuntimeError, MemoryError) as error:
            # PyTorch counts the bytes of a tensor in 63 bits.
            mistake = "a network of this size cannot be described. Use smaller numbers"
            raise ConfigError(where, [mistake]) from error

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield facts in the order a musician asks; unknown ones are left out."""
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
        """Return plain values, with the tree of layers."""
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
    """Return the first line of a class's module docstring, and its paragraph that names a paper."""
    text = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
    title, *others = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return title, next((each for each in others if SOURCE.search(each)), "")


def with_values(mistake: str, options: Mapping[str, Any]) -> str:
    """Add the values of the options that a mistake names, unless it has them."""
    names = [name for name in options if re.search(rf"\b{name}\b", mistake)]
    if not names or "found" in mistake or mistake.startswith("unknown"):
        return mistake
    values = [f"{name}={json.dumps(options[name], ensure_ascii=False)}" for name in names]
    return f"{mistake}, found {' and '.join(values)}"


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Parse options of an architecture, ``key=value`` each, with values in YAML.

    Raises:
        ConfigError: one of them cannot be understood.
    """
    return dict(parse_change(change, "num_layers=4") for change in changes)


DEPTH = 3

SPEEDS = (">x real time", ">memory", ">GPU memory", ">start", "precision", "measured")


@click.command(
    "info",
    epilog=examples(
        ("stem models info melroformer", "its card and the layers of its network"),
        (
            'stem models info melunet --set num_layers=3 --set "stems=[vocals,drums]"',
            "an architecture in another size",
        ),
        ("stem models info runs/mine", "the best weights of a run"),
    ),
)
@click.argument("name", metavar="NAME|RUN|FILE", shell_complete=candidates.models_and_architectures)
@click.option(
    "--architecture",
    "as_architecture",
    is_flag=True,
    help="Show the architecture if a model has the same name.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change an option of an architecture, e.g. num_layers=4; may be repeated. Implies"
    " --architecture.",
)
@click.option(
    "--depth",
    type=WholeNumber(0),
    metavar="LEVELS",
    default=DEPTH,
    show_default=True,
    help="Number of levels of the network to show.",
)
@console_options
def command(
    name: str, as_architecture: bool, changes: tuple[str, ...], depth: int, console: Console
) -> None:
    """Show details of a model, a run or an architecture.

    NAME is a name from stem models list, with --all or --architectures or without; RUN is the
    folder of a stem train run, and FILE a .safetensors file. A model is shown with its card and
    scores, an architecture with its purpose and how to train it, and both with the layers of the
    network: their output shapes and numbers of parameters. For a public model that is not
    installed, shows its catalogue entry.
    """
    from model_zoo.catalogue.cards import is_known
    from model_zoo.catalogue.names import catalogue_name, is_path
    from model_zoo.catalogue.public import find_preset, public_models
    from stemcli.cli.models_public import show_preset, show_public

    name = name if as_architecture or changes else catalogue_name(name)
    is_model, is_architecture = is_known(name), name in registry.ARCHITECTURES
    in_catalogue = not (is_model or as_architecture or changes or is_path(name))
    if in_catalogue and (public := public_models().get(name)):
        show_public(public, console)
    elif in_catalogue and (preset := find_preset(name)):
        show_preset(preset, console)
    elif is_architecture and (as_architecture or changes or not is_model):
        show_architecture(name, changes, depth, console)
    elif not is_model and not is_path(name):
        raise unknown(name)
    elif as_architecture:
        raise UsageError(f"{name!r} is not an architecture. See: stem models list --architectures")
    else:
        show_model(name, changes, depth, console)


def show_architecture(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """Show the facts and layers of a network without weights."""
    with console.busy(f"Drawing {name}"):
        blueprint = Blueprint.of(name, parsed(changes))
    console.document(blueprint.to_dict())
    console.table(("=architecture", ""), [*blueprint.facts()])
    draw(blueprint.parts, depth, console)


def show_model(name: str, changes: tuple[str, ...], depth: int, console: Console) -> None:
    """Show the card and the layers of a model.

    Raises:
        UsageError: options were given, but a model's options are fixed.
    """
    from model_zoo.catalogue.names import is_path

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
    """Refuse ``--set`` for a model: its weights fit one network only.

    Raises:
        UsageError: options were given.
    """
    if changes:
        example = changes[0] if "=" in changes[0] else "num_layers=4"
        raise UsageError(
            f"{name} is a model, whose options are fixed: use --set with an architecture, e.g. "
            f"stem models info {architecture} --set {quoted(example)}"
        )


@dataclass(frozen=True)
class ResolvedModel:
    """The model that the command line names.

    Attributes:
        card: its card.
        is_installed: whether the zoo has its weights; False for a run or a file.
        options: options of its network.
        network: tree of its layers; None if there are no weights or they are unreadable.
        why_not: reason why there is no tree.
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
    """Describe a run or a file as if it were in the zoo.

    Raises:
        NoModelError: there are no such weights.
        CheckpointError: the weights or the summary of the run are damaged.
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
    """Draw the layers as a tree, and print a hint if there are deeper ones."""
    console.result()
    console.draw(tree(network, depth))
    if network.depth > depth:
        console.line()
        console.line(f"For more levels, use --depth {depth + 1}")


def tree(network: LayerInfo, depth: int) -> Tree:
    """Return a tree of the network, with the number of its parameters, down to ``depth``."""
    from rich.tree import Tree

    root = Tree(f"{network.kind}  ({network.described_shape})  {network.parameters:,} parameters")
    grow(root, network.parts, depth)
    return root


def grow(branch: Tree, layers: Sequence[LayerInfo], depth: int) -> None:
    """Add layers to a branch; equal layers are drawn once, like ``freq_blocks x12``."""
    for layer in layers if depth else ():
        name = f"{layer.name} x{layer.times}" if layer.times > 1 else layer.name
        gives = f"({layer.described_shape})" if layer.shape else ""
        words = [name, layer.kind, gives, parameters(layer)]
        grow(branch.add("  ".join(filter(None, words))), layer.parts, depth - 1)


def parameters(layer: LayerInfo) -> str:
    """Format the number of parameters; equal layers show the number of each."""
    if layer.times > 1 and layer.parameters:
        return f"{layer.times} x {layer.parameters // layer.times:,}"
    return f"{layer.parameters:,}" if layer.parameters else ""


def facts(name: str, card: Card, role: Role, is_installed: bool) -> Iterator[tuple[str, str]]:
    """Yield the facts of a card in the order a musician asks; unknown ones are left out."""
    from model_zoo.catalogue.cards import BUNDLED
    from model_zoo.catalogue.names import is_path

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


def speed_row(record: SpeedRecord) -> tuple[str, ...]:
    """Format one speed with its definition and its machine."""
    return (
        f"{record.times_real_time:.1f}",
        memory(record.memory),
        memory(record.gpu_memory),
        f"{record.start_seconds:.1f} s",
        record.precision,
        f"{record.machine}; {record.definition}",
    )
