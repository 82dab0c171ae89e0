"""``stem models info``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, millions, size

if TYPE_CHECKING:
    from model_zoo.card import Card, Score


@click.command(
    "info",
    epilog=examples(
        ("stem models info melroformer", "its card and the parts of its network"),
        ("stem models info melroformer --json", "the same for a program"),
    ),
)
@click.argument("name")
@console_options
def command(name: str, console: Console) -> None:
    """Show all that is known of one model: its card, its scores and the parts of its network."""
    from model_zoo.card import find
    from stemcli.cli.models.shelf import is_installed

    card = find(name)
    has = is_installed(card)
    parts = parts_of(name) if has else {}
    console.document({**card.to_dict(), "outputs": card.outputs, "installed": has, "parts": parts})
    console.table(("card", ""), [*facts(card, has)])
    if card.scores:
        console.line()
        console.table(("stem", "score", ">value", "measured on"), [*map(score_row, card.scores)])
    if parts:
        console.line()
        rows = [(part, f"{count:,}") for part, count in parts.items()]
        console.table(("part of the network", ">parameters"), rows)


def parts_of(name: str) -> dict[str, int]:
    """Top-level parts of the network and how many trainable values each has."""
    from model_zoo import weights

    network = weights.load(name)
    return {
        part: sum(value.numel() for value in module.parameters())
        for part, module in network.named_children()
    }


def facts(card: Card, is_installed: bool) -> Iterator[tuple[str, str]]:
    """The card in the order a musician asks; what is not known is left out."""
    known: dict[str, Any] = {
        "name": card.name,
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
        "installed": "yes" if is_installed else "no",
    }
    return ((key, value) for key, value in known.items() if value)


def score_row(score: Score) -> tuple[str, str, str, str]:
    """One score with its definition, because a number without it says nothing."""
    metric = f"{score.metric} ({score.definition})" if score.definition else score.metric
    return score.stem, metric, f"{score.value:.2f}", score.dataset
