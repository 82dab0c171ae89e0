"""``stem eval musdb``: models on the data set that everybody publishes for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options, network_options
from stemcli.cli.words import counted, examples
from trainers.cli.scoring_options import (
    models_option,
    output_option,
    pieces_option,
    rules_options,
    store_option,
)

if TYPE_CHECKING:
    from trainers.evaluation.musdb_songs import Subset
    from trainers.evaluation.run import Rules


@click.command(
    "musdb",
    epilog=examples(
        ("stem eval musdb --root musdb18hq", "the bundled model on the 50 test songs"),
        ("stem eval musdb --sample", "on excerpts of seven seconds, which are downloaded"),
        ("stem eval musdb -m melroformer -m runs/mine", "two models beside each other"),
        ("stem eval musdb --win 10", "windows of ten seconds"),
        ("stem eval musdb --subset valid --jobs 4", "the songs kept for validation"),
    ),
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="MUSDB18 or MUSDB18-HQ: the folder with test/ in it.  [default: MUSDB_PATH]",
)
@click.option("--sample", is_flag=True, help="Use musdb's excerpts of 7 s, downloaded if need be.")
@click.option("--is-wav", is_flag=True, help="Look for folders of wav files (MUSDB18-HQ) alone.")
@click.option(
    "--subset",
    type=click.Choice(["test", "valid", "train"]),
    default="test",
    show_default=True,
    help="Songs to use; valid are those of train that musdb keeps for validation.",
)
@models_option
@click.option(
    "--oracles/--no-oracles",
    default=True,
    help="Score the mixture and the ideal ratio mask too.  [default: yes]",
)
@output_option("  [default: scores]", Path("scores"))
@rules_options
@pieces_option
@store_option
@network_options
@console_options
def command(
    *,
    root: Path | None,
    sample: bool,
    is_wav: bool,
    subset: Subset,
    models: tuple[str, ...],
    oracles: bool,
    output: Path,
    rules: Rules,
    pieces: int,
    store: bool,
    how: Mapping[str, Any],
    console: Console,
) -> None:
    """Score models on MUSDB18 or MUSDB18-HQ, which --root or MUSDB_PATH names.

    Both numbers that go by the name of SDR are given: BSSEval's median over windows of a second
    and then over songs, and the mean over songs of that of whole songs. For a scale, the mixture
    itself, the ideal ratio mask and published figures stand beside them. Typed again, it goes on.
    """
    from trainers.cli.scoring import finish, run, show_stored
    from trainers.evaluation.backends import measuring_device
    from trainers.evaluation.methods import model_methods, oracle_methods
    from trainers.evaluation.musdb_songs import (
        dataset,
        fetch_sample,
        is_musdb18,
        musdb_tracks,
        require_data,
    )
    from trainers.evaluation.published import published
    from trainers.evaluation.records import require_cards, store_scores
    from trainers.evaluation.run import Evaluation
    from trainers.evaluation.shelf import require_outside
    from trainers.evaluation.summary import summarise
    from trainers.evaluation.writing import Heading, require_pictures

    if sample and root:
        raise click.UsageError("--sample and --root contradict each other; type one.")
    root = fetch_sample() if sample else require_data(root, subset, is_wav=is_wav)
    require_pictures()
    if store:
        require_cards(models)
    tracks = musdb_tracks(root, subset, is_wav=is_wav)
    require_outside(output, *{track.folder for track in tracks})
    rules = replace(rules, device=measuring_device(how["device"]))
    methods = [*model_methods(models, how, console.show), *(oracle_methods() if oracles else [])]
    evaluation = Evaluation(tracks, methods, rules, output, pieces)
    run(evaluation, console)
    seconds = evaluation.results.seconds
    measured = dataset(tracks, subset, seconds)
    figures = published() if subset == "test" else []
    is_same = is_musdb18(tracks, subset, seconds)
    heading = Heading(measured, counted(len(tracks), "song"), figures, is_same)
    code = finish(evaluation, heading, console)
    if store and code:
        console.error("Nothing is written to cards, because scores are missing.")
    elif store:
        rows = summarise(evaluation.results.scores)
        show_stored(console, store_scores(rows, models, measured, rules, how))
    click.get_current_context().exit(code)
