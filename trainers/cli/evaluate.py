"""``stem eval``: how well stems were separated."""

from __future__ import annotations

from pathlib import Path

import click

from stemcli.cli.console import Console
from stemcli.cli.lazy import Entry, LazyGroup
from stemcli.cli.options import console_options
from stemcli.cli.words import examples

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


COMMANDS = {
    "folder": Entry("trainers.cli.evaluate:folder", "Compare the stems in two folders."),
}


@click.group("eval", cls=LazyGroup, table=COMMANDS)
def command() -> None:
    """Measure separated stems against the true ones."""


@click.command(
    "folder",
    epilog=examples(
        ("stem eval folder docs/demo/stems separated/song", "how far each stem is from the truth"),
    ),
)
@click.argument("references", type=FOLDER)
@click.argument("estimates", type=FOLDER)
@console_options
def folder(references: Path, estimates: Path, console: Console) -> None:
    """Compare the stems in ESTIMATES with the true ones in REFERENCES, paired by name.

    Prints the global SDR of each: 10 log10 of the energy of the true stem over the energy of the
    error, over the whole song, in dB.
    """
    from trainers.evaluation.folder import score_folder

    scores = score_folder(references, estimates)
    console.document({"metric": "global SDR", "unit": "dB", "stems": scores})
    for stem, sdr in scores.items():
        console.line(f"{stem}: {sdr:.2f} dB global SDR")
