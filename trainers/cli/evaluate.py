"""``stem eval``: how well stems were separated."""

from __future__ import annotations

import click

from stemcli.cli.lazy import Entry, LazyGroup
from stemcli.cli.words import examples

COMMANDS = {
    "musdb": Entry("trainers.cli.evaluate_musdb:command", "Score models on MUSDB18."),
    "folder": Entry("trainers.cli.evaluate_folder:command", "Compare the stems in two folders."),
    "compare": Entry("trainers.cli.evaluate_compare:command", "Put evaluations side by side."),
    "speed": Entry("trainers.cli.evaluate_speed:command", "Measure time and memory of models."),
}


@click.group(
    "eval",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        ("stem eval musdb --root musdb18hq", "the bundled model on the 50 test songs"),
        ("stem eval folder docs/demo/stems separated/song", "stems of yours against true ones"),
    ),
)
def command() -> None:
    """Measure separated stems against the true ones."""
