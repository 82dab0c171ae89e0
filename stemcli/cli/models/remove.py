"""``stem models remove``."""

from __future__ import annotations

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples


@click.command(
    "remove",
    epilog=examples(
        ("stem models remove guitar", "its card and its weights are deleted"),
        ("stem models list", "what is left"),
    ),
)
@click.argument("name")
@console_options
def command(name: str, console: Console) -> None:
    """Remove a model that you added; those that came with stem stay."""
    from stemcli.cli.models.shelf import remove

    removed = [str(path) for path in remove(name)]
    console.document({"name": name, "removed": removed})
    for path in removed:
        console.line(f"Removed {path}")
