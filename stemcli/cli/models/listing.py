"""``stem models list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, millions, size

if TYPE_CHECKING:
    from model_zoo.errors import CheckpointError

COLUMNS = ("model", "stems", ">parameters", "licence", ">size", "installed")


@click.command(
    "list",
    epilog=examples(
        ("stem models list", "one line for each model"),
        ("stem models list --json", "the same for a program"),
    ),
)
@console_options
def command(console: Console) -> None:
    """Show all models: those that came with stem and those that you added."""
    from model_zoo.card import cards
    from stemcli.cli.models.shelf import is_installed

    damaged: list[CheckpointError] = []
    found = {card: is_installed(card) for card in cards(damaged.append).values()}
    console.document(
        [
            {**card.to_dict(), "outputs": card.outputs, "installed": has}
            for card, has in found.items()
        ]
    )
    rows = [
        (
            card.name,
            ", ".join(card.outputs),
            millions(card.parameters),
            card.licence,
            size(card.size),
            "yes" if has else "no",
        )
        for card, has in found.items()
    ]
    console.table(COLUMNS, rows)
    for error in damaged:
        console.error(str(error))
    click.get_current_context().exit(1 if damaged else 0)
