"""``stem doctor``."""

from __future__ import annotations

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples


@click.command(
    "doctor",
    epilog=examples(
        ("stem doctor", "is everything there, and what will be used"),
        ("stem doctor --json", "the same for a program, or to add to a report of a defect"),
    ),
)
@console_options
def command(console: Console) -> None:
    """Check that this computer has all that separation takes.

    The exit code is 1 when something needed is missing.
    """
    from stemcli.cli.checks import examine

    checks = examine()
    console.document([check.to_dict() for check in checks])
    console.table(("", "", ""), [(mark(c.ok), c.name, c.found) for c in checks])
    missing = [check for check in checks if not check.ok]
    for check in missing:
        console.error(": ".join(filter(None, (check.name, check.found, check.advice))))
    if not missing:
        console.result("All is well.")
    click.get_current_context().exit(1 if missing else 0)


def mark(ok: bool) -> str:
    """A word, because colours and signs do not reach everybody."""
    return "ok" if ok else "NO"
