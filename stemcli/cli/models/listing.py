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
ARCHITECTURES = ("=architecture", "what it is for", "gives", ">parameters")
SEE_ARCHITECTURES = "Networks to train: stem models list --architectures"


@click.command(
    "list",
    epilog=examples(
        ("stem models list", "one line for each model"),
        ("stem models list --architectures", "one line for each network that can be trained"),
        ("stem models list --json", "the same for a program"),
    ),
)
@click.option("--architectures", is_flag=True, help="Show what can be trained instead.")
@console_options
def command(architectures: bool, console: Console) -> None:
    """Show all models: those that came with stem and those that you added."""
    if architectures:
        list_architectures(console)
    else:
        list_models(console)


def list_architectures(console: Console) -> None:
    """Every architecture in its usual size."""
    from model_zoo import registry
    from model_zoo.weightless import weightless

    networks = {name: weightless(name, {}) for name in registry.ARCHITECTURES}
    console.document(
        [
            {
                "architecture": name,
                "purpose": network.purpose,
                "role": network.role,
                "parameters": network.parameter_count(),
            }
            for name, network in networks.items()
        ]
    )
    rows = [
        (name, network.purpose, network.role, millions(network.parameter_count()))
        for name, network in networks.items()
    ]
    console.table(ARCHITECTURES, rows)


def list_models(console: Console) -> None:
    """Every model, and then what is wrong with the cards of others."""
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
    console.line()
    console.line(SEE_ARCHITECTURES)
    for error in damaged:
        console.error(str(error))
    click.get_current_context().exit(1 if damaged else 0)
