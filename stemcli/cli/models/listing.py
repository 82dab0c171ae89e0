"""``stem models list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stemcli.cli.console import Console
from stemcli.cli.models.gives import AFTER_PHASE_MODEL, given
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, millions, size

if TYPE_CHECKING:
    from model_zoo.card import Card
    from model_zoo.errors import CheckpointError
    from model_zoo.separator import Role

COLUMNS = ("=model", "gives", ">parameters", "licence", ">size", "installed")
ARCHITECTURES = ("=architecture", "what it is for", "gives", ">parameters")
ANY_STEMS = "any stems"
"""What networks give that learn stems: those that they are trained for."""

SEE_ARCHITECTURES = "Networks to train: stem models list --architectures"
SEE_ONE = "One of them in detail: stem models info NAME"


@click.command(
    "list",
    epilog=examples(
        ("stem models list", "one line for each model"),
        ("stem models list --architectures", "one line for each network that can be trained"),
        ("stem models list --json", "the same for a program"),
    ),
)
@click.option(
    "--architectures", is_flag=True, help="Show the networks that can be trained instead."
)
@console_options
def command(architectures: bool, console: Console) -> None:
    """Show all models: those that came with stem and those that you added.

    Of each what it gives: stems, by name, or a phase for the stems of others, or codes. With
    --architectures the networks that can be trained, in their usual sizes.
    """
    if architectures:
        list_architectures(console)
    else:
        list_models(console)


def list_architectures(console: Console) -> None:
    """Every architecture in its usual size, of which its class tells; none is built."""
    from model_zoo import registry

    with console.busy("Reading the architectures"):
        kinds = {name: registry.architecture(name) for name in registry.ARCHITECTURES}
    found = [
        {
            "architecture": name,
            "purpose": kind.purpose,
            "role": kind.role,
            "stems": kind.Config().to_dict()["stems"],
            "parameters": kind.sizes.documented[0].parameters,
        }
        for name, kind in kinds.items()
    ]
    console.document(found)
    rows = [
        (
            each["architecture"],
            each["purpose"],
            given(each["role"], [ANY_STEMS]),
            millions(each["parameters"]),
        )
        for each in found
    ]
    console.table(ARCHITECTURES, rows)
    console.line()
    console.line(SEE_ONE)


def list_models(console: Console) -> None:
    """Every model, and then what is wrong with the cards of others."""
    from model_zoo import registry
    from model_zoo.card import cards
    from stemcli.cli.models.shelf import is_installed

    damaged: list[CheckpointError] = []
    found = {card: is_installed(card) for card in cards(damaged.append).values()}
    roles = {card: registry.role(card.architecture) for card in found}
    console.document(
        [
            {**card.to_dict(), "outputs": card.outputs, "role": roles[card], "installed": has}
            for card, has in found.items()
        ]
    )
    console.table(COLUMNS, [row(card, roles[card], has) for card, has in found.items()])
    console.line()
    if "phase" in roles.values():
        console.line(AFTER_PHASE_MODEL)
    console.line(SEE_ARCHITECTURES)
    for error in damaged:
        console.error(str(error))
    click.get_current_context().exit(1 if damaged else 0)


def row(card: Card, role: Role, is_installed: bool) -> tuple[str, ...]:
    """One model as people read it."""
    return (
        card.name,
        given(role, card.outputs),
        millions(card.parameters),
        card.licence,
        size(card.size),
        "yes" if is_installed else "no",
    )
