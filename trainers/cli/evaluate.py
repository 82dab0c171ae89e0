"""``stem eval``: shared options and the commands musdb, folder and compare."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from model_zoo.catalogue.cards import DEFAULT_MODEL
from model_zoo.errors import require_package
from model_zoo.option_names import contradiction
from stemcli.cli import candidates
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.lazy import CommandEntry, LazyGroup
from stemcli.cli.options import console_options, network_options
from stemcli.cli.parameter_types import NumberRange, WholeNumber
from stemcli.cli.settings_command import SettingsCommand
from stemcli.printable import counted
from trainers.evaluation.metric_table import METRICS, decibels

if TYPE_CHECKING:
    from trainers.evaluation.comparison import Difference
    from trainers.evaluation.evaluate import ScoringSettings
    from trainers.evaluation.musdb import Subset


COMMANDS = {
    "musdb": CommandEntry("trainers.cli.evaluate:musdb_command", "Score models on MUSDB18."),
    "folder": CommandEntry(
        "trainers.cli.evaluate:folder_command", "Compare the stems in two folders."
    ),
    "compare": CommandEntry(
        "trainers.cli.evaluate:compare_command", "Compare evaluations song by song."
    ),
    "speed": CommandEntry(
        "trainers.cli.evaluate_speed:command", "Measure speed and memory of models."
    ),
}


@click.group(
    "eval",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        ("stem eval musdb --root musdb18hq", "score the bundled model on the 50 test songs"),
        ("stem eval folder docs/demo/stems separated/song", "score your stems"),
    ),
)
def command() -> None:
    """Score separated stems against the true ones, and measure the speed of models."""


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "compare",
    epilog=examples(
        ("stem eval compare scores", "compare all methods of one evaluation"),
        ("stem eval compare before after", "compare two evaluations"),
        ("stem eval compare before/melroformer after/mine", "compare two methods"),
        ("stem eval compare before after --metric sdr", "compare by BSSEval's SDR"),
    ),
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=FOLDER)
@click.option(
    "--metric",
    type=click.Choice([metric.key for metric in METRICS], case_sensitive=False),
    default="global_sdr",
    show_default=True,
    help="Score to compare; sdr, isr, sir and sar are BSSEval's.",
)
@console_options
def compare_command(*, runs: tuple[Path, ...], metric: str, console: Console) -> None:
    """Compare evaluations song by song.

    Each RUN is the output folder of an evaluation, or of one method in it. All methods are
    compared with the first one; they are ordered by RUN, then by name, with the mixture and the
    ideal ratio mask last. The column "chance" is the p-value of a Wilcoxon signed-rank test,
    which needs at least 6 songs.
    """
    require_package("scipy", "eval")
    from trainers.evaluation.comparison import compare, read_runs

    chosen = next(each for each in METRICS if each.key == metric)
    differences = compare(read_runs(runs), chosen)
    rows = [_plain(row) for row in differences]
    console.document({"event": "compared", "metric": metric, "rows": rows})
    columns = ("=stem", "=method", f">{chosen.title}", ">songs", ">change", ">better", ">chance")
    console.table(columns, [_cells(row) for row in differences])
    console.result(f"In dB: {chosen.how}.")
    console.result("Change, better and chance use only songs that both methods have a score for.")


def _cells(row: Difference) -> tuple[str, ...]:
    value = row.stem, row.method, decibels(row.value), str(row.songs)
    if not row.shared:
        return *value, "", "none shared", ""
    if math.isnan(row.change):
        return *value, "", "", ""
    chance = f"{row.chance:.2g}" if math.isfinite(row.chance) else ""
    return *value, f"{row.change:+.2f}", f"{row.better} of {row.shared}", chance


def _plain(row: Difference) -> dict[str, Any]:
    """Convert a row to JSON values, with null for NaN and infinity."""
    values = asdict(row).items()
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values
    }


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

WINDOW = NumberRange(0.01, 30.0)


def rules_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--win``, ``--backend`` and ``--jobs``; the command receives ``rules``."""

    @click.option(
        "--win",
        "window",
        type=WINDOW,
        default=1.0,
        show_default=True,
        metavar="SECONDS",
        help="Window length of BSSEval; published scores use 1.",
    )
    @click.option(
        "--backend",
        type=click.Choice(["torch", "museval"]),
        default="torch",
        show_default=True,
        help="BSSEval implementation; museval is the reference, and slower.",
    )
    @click.option(
        "-j",
        "--jobs",
        type=WholeNumber(1, 64),
        default=1,
        show_default=True,
        help="Songs to score at the same time, each held in memory, while separation continues.",
    )
    @functools.wraps(command)
    def with_rules(*args: Any, window: float, backend: Any, jobs: int, **rest: Any) -> Any:
        from trainers.evaluation.evaluate import ScoringSettings

        return command(*args, rules=ScoringSettings(window, backend, jobs), **rest)

    return with_rules


def output_option(shown: str, default: Path | None = None) -> Decorator:
    """Add ``--output``; the command receives a path or None."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        metavar="DIR",
        help=f"Folder for the scores, tables and report.html.{shown}",
    )


pieces_option = click.option(
    "--listen",
    "pieces",
    type=WholeNumber(0, 10),
    default=3,
    show_default=True,
    metavar="N",
    help="Songs with audio and spectrograms in the report; each adds a few megabytes.",
)

models_option = click.option(
    "-m",
    "--model",
    "models",
    type=candidates.ModelName(),
    multiple=True,
    default=(DEFAULT_MODEL,),
    metavar="NAME|RUN|FILE",
    help=f"A model to measure; may be repeated.  [default: {DEFAULT_MODEL}]",
)

store_option = click.option(
    "--store", is_flag=True, help="Write the results to the card of each model."
)


@click.command(
    "folder",
    epilog=examples(
        ("stem eval folder docs/demo/stems separated/song", "score the stems of one song"),
        ("stem eval folder truth estimates -o scores", "many songs; writes scores and report.html"),
        ("stem eval folder truth estimates --win 10", "BSSEval windows of ten seconds"),
    ),
)
@click.argument("references", type=FOLDER)
@click.argument("estimates", type=FOLDER)
@rules_options
@pieces_option
@output_option("  [default: nothing is written]")
@console_options
def folder_command(
    *,
    references: Path,
    estimates: Path,
    rules: ScoringSettings,
    pieces: int,
    output: Path | None,
    console: Console,
) -> None:
    """Score the stems in ESTIMATES against the true stems in REFERENCES, paired by name.

    Both are folders with audio files, or trees of such folders with the same names. BSSEval scores
    vocals and instrumental (or accompaniment, no_vocals) as a pair, and all other stems together.
    """
    from trainers.cli.evaluate_display import finish, run
    from trainers.evaluation.evaluate import Evaluation
    from trainers.evaluation.folder import require_outside
    from trainers.evaluation.results import Heading, require_pictures
    from trainers.evaluation.tracks import pair_folders

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


@click.command(
    "musdb",
    cls=SettingsCommand,
    settings=("device",),
    epilog=examples(
        ("stem eval musdb --root musdb18hq", "score the bundled model on the 50 test songs"),
        ("stem eval musdb --sample", "use the free 7-second excerpts (downloads them)"),
        ("stem eval musdb -m melroformer -m runs/mine", "score two models"),
        ("stem eval musdb --win 10", "BSSEval windows of ten seconds"),
        ("stem eval musdb --subset valid --jobs 4", "use the validation songs"),
    ),
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of MUSDB18 or MUSDB18-HQ, with test/ in it.  [default: MUSDB_PATH]",
)
@click.option("--sample", is_flag=True, help="Use musdb's 7-second excerpts (downloads them).")
@click.option("--is-wav", is_flag=True, help="Accept only folders of WAV files (MUSDB18-HQ).")
@click.option(
    "--subset",
    type=click.Choice(["test", "valid", "train"]),
    default="test",
    show_default=True,
    help="Songs to use; valid is the part of train that musdb reserves for validation.",
)
@models_option
@click.option(
    "--oracles/--no-oracles",
    default=True,
    help="Also score the mixture and the ideal ratio mask.  [default: yes]",
)
@output_option("  [default: scores]", Path("scores"))
@rules_options
@pieces_option
@store_option
@network_options
@console_options
def musdb_command(
    *,
    root: Path | None,
    sample: bool,
    is_wav: bool,
    subset: Subset,
    models: tuple[str, ...],
    oracles: bool,
    output: Path,
    rules: ScoringSettings,
    pieces: int,
    store: bool,
    how: Mapping[str, Any],
    console: Console,
) -> None:
    """Score models on MUSDB18 or MUSDB18-HQ.

    Reports both kinds of SDR: BSSEval's median over one-second windows and then over songs, and the
    mean of whole-song SDR. The unprocessed mixture, the ideal ratio mask and published results are
    listed for comparison. Run the command again to resume a stopped evaluation.
    """
    from trainers.cli.evaluate_display import finish, run, show_stored
    from trainers.evaluation.evaluate import Evaluation
    from trainers.evaluation.folder import require_outside
    from trainers.evaluation.methods import model_methods, oracle_methods
    from trainers.evaluation.musdb import (
        dataset,
        fetch_sample,
        is_musdb18,
        musdb_tracks,
        require_data,
    )
    from trainers.evaluation.results import Heading, require_cards, require_pictures, store_scores
    from trainers.evaluation.scoring import measuring_device
    from trainers.evaluation.summary import published, summarize

    if sample and root:
        raise click.UsageError(f"{contradiction('sample', 'root')}.")
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
        console.error("Some scores are missing, so no card was changed.")
    elif store:
        rows = summarize(evaluation.results.scores)
        show_stored(console, store_scores(rows, models, measured, rules, how))
    click.get_current_context().exit(code)
