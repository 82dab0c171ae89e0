"""``stem eval folder``: stems of one's own against the true ones."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples
from trainers.cli.scoring_options import output_option, pieces_option, rules_options

if TYPE_CHECKING:
    from trainers.evaluation.run import Rules

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "folder",
    epilog=examples(
        ("stem eval folder docs/demo/stems separated/song", "how far each stem is from the truth"),
        ("stem eval folder truth estimates -o scores", "two trees; scores, tables, report.html"),
        ("stem eval folder truth estimates --win 10", "windows of ten seconds"),
    ),
)
@click.argument("references", type=FOLDER)
@click.argument("estimates", type=FOLDER)
@rules_options
@pieces_option
@output_option("  [default: nothing is written]")
@console_options
def command(
    *,
    references: Path,
    estimates: Path,
    rules: Rules,
    pieces: int,
    output: Path | None,
    console: Console,
) -> None:
    """Compare the stems in ESTIMATES with the true ones in REFERENCES, paired by name.

    Both are folders with sound files, or trees of such folders with the same names. Vocals and
    instrumental (or accompaniment, no_vocals) are judged as a pair, all others together.
    """
    from trainers.cli.scoring import finish, run
    from trainers.evaluation.folders import pair_folders
    from trainers.evaluation.run import Evaluation
    from trainers.evaluation.shelf import require_outside
    from trainers.evaluation.writing import Heading, require_pictures

    if output:
        require_pictures()
        require_outside(output, references, estimates)
    tracks, method, left_out = pair_folders(references, estimates)
    for note in left_out:
        console.show(note)
        console.line(str(note))
    with ExitStack() as stack:
        place = output or Path(stack.enter_context(TemporaryDirectory()))
        evaluation = Evaluation(tracks, [method], rules, place, pieces if output else 0)
        run(evaluation, console)
        heading = Heading(f"Stems in {estimates}", f"against {references}") if output else None
        code = finish(evaluation, heading, console)
    click.get_current_context().exit(code)
