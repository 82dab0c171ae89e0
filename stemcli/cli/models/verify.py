"""``stem models verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples

if TYPE_CHECKING:
    from model_zoo.errors import CheckpointError


@click.command(
    "verify",
    epilog=examples(
        ("stem models verify", "check all models"),
        ("stem models verify melroformer --quiet", "only the exit code tells"),
    ),
)
@click.argument("name", required=False)
@console_options
def command(name: str | None, console: Console) -> None:
    """Check that the weights of one model, or of all, are what their cards promise."""
    from model_zoo.card import cards, find
    from stemcli.cli.models.shelf import state

    damaged: list[CheckpointError] = []
    chosen = [find(name)] if name else list(cards(damaged.append).values())
    states = [state(card) for card in chosen]
    console.document([found.to_dict() for found in states])
    for found in states:
        if not found.problem:
            console.result(f"{found.name}: undamaged, {found.path}")
    problems = [found.problem for found in states if found.problem] + [str(e) for e in damaged]
    for problem in problems:
        console.error(problem)
    click.get_current_context().exit(1 if problems else 0)
