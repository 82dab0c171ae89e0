"""``stem eval``: how well stems were separated."""

from __future__ import annotations

import json
from pathlib import Path

import click

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Measure separated stems against the true ones."""


@command.command()
@click.argument("references", type=FOLDER)
@click.argument("estimates", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def folder(references: Path, estimates: Path, as_json: bool) -> None:
    r"""Compare the stems in ESTIMATES with the true ones in REFERENCES, paired by name.

    Prints the global SDR of each: 10 log10 of the energy of the true stem over the energy of the
    error, over the whole song, in dB.

    \b
    Example:
      stem eval folder docs/demo/stems separated/song
    """
    from trainers.evaluation.folder import score_folder

    scores = score_folder(references, estimates)
    if as_json:
        click.echo(json.dumps({"metric": "global SDR", "unit": "dB", "stems": scores}))
        return
    for stem, sdr in scores.items():
        click.echo(f"{stem}: {sdr:.2f} dB global SDR")
