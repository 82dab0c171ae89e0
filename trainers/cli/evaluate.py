"""``stem eval``: options and the commands for folders, MUSDB18 and comparisons."""

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
from stemcli.cli.app import CommandEntry, LazyGroup
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import NumberRange, console_options, network_options
from stemcli.printable import counted
from trainers.evaluation.summary import METRICS, decibels

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
        "trainers.cli.evaluate:compare_command", "Put evaluations side by side."
    ),
    "speed": CommandEntry(
        "trainers.cli.evaluate_speed:command", "Measure time and memory of models."
    ),
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


RUN = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "compare",
    epilog=examples(
        ("stem eval compare scores", "all methods of one evaluation, against its first"),
        ("stem eval compare before after", "two evaluations"),
        ("stem eval compare before/melroformer after/mine", "two methods"),
        ("stem eval compare before after --metric SDR", "by BSSEval's SDR"),
    ),
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RUN)
@click.option(
    "--metric",
    type=click.Choice([metric.key for metric in METRICS], case_sensitive=False),
    default="global_sdr",
    show_default=True,
    help="SDR, ISR, SIR and SAR are BSSEval's.",
)
@console_options
def compare_command(*, runs: tuple[Path, ...], metric: str, console: Console) -> None:
    """Compare evaluations song by song; each RUN is the folder of one, or of a method in it.

    Every method is held against the first, in the order of the RUNs and the alphabet, the mixture
    and the ideal ratio mask last. The last column is the probability of differences at least as
    large if both were equal (Wilcoxon's signed ranks); it needs at least 6 songs.
    """
    require_package("scipy", "eval")
    from trainers.evaluation.comparison import compare, read_runs

    chosen = next(each for each in METRICS if each.key == metric)
    found = compare(read_runs(runs), chosen)
    rows = [_plain(row) for row in found]
    console.document({"event": "compared", "metric": metric, "rows": rows})
    columns = ("=stem", "=method", f">{chosen.title}", ">songs", ">change", ">better", ">chance")
    console.table(columns, [_cells(row) for row in found])
    console.result(f"In dB: {chosen.how}.")
    console.result("Change, better, chance: over songs with a number by the method and the first.")


def _cells(row: Difference) -> tuple[str, ...]:
    value = row.stem, row.method, decibels(row.value), str(row.songs)
    if not row.shared:
        return *value, "", "none shared", ""
    if math.isnan(row.change):
        return *value, "", "", ""
    chance = f"{row.chance:.2g}" if math.isfinite(row.chance) else ""
    return *value, f"{row.change:+.2f}", f"{row.better} of {row.shared}", chance


def _plain(row: Difference) -> dict[str, Any]:
    """Null where there is no number."""
    values = asdict(row).items()
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values
    }


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

WINDOW = NumberRange(0.01, 30.0)


def rules_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--win``, ``--backend`` and ``--jobs``; the command receives ``rules``."""

    @click.option(
        "--win",
        "window",
        type=WINDOW,
        default=1.0,
        show_default=True,
        metavar="SECONDS",
        help="Windows of BSSEval; 1 is what everybody publishes.",
    )
    @click.option(
        "--backend",
        type=click.Choice(["torch", "museval"]),
        default="torch",
        show_default=True,
        help="Whose BSSEval; museval is the reference implementation, which takes its time.",
    )
    @click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="Songs that are measured at the same time, each in memory, while the network works on"
        " the next.",
    )
    @functools.wraps(command)
    def with_rules(*args: Any, window: float, backend: Any, jobs: int, **rest: Any) -> Any:
        from trainers.evaluation.evaluate import ScoringSettings

        return command(*args, rules=ScoringSettings(window, backend, jobs), **rest)

    return with_rules


def output_option(shown: str, default: Path | None = None) -> Decorator:
    """``--output``; the command receives a path or None."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        metavar="DIR",
        help=f"Folder for scores of each song, tables and report.html.{shown}",
    )


pieces_option = click.option(
    "--listen",
    "pieces",
    type=click.IntRange(0, 10),
    default=3,
    show_default=True,
    metavar="N",
    help="Songs that can be heard and seen in the report; each makes it some megabytes larger.",
)

models_option = click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=(DEFAULT_MODEL,),
    metavar="NAME|RUN|FILE",
    help="A network to measure; may be repeated, and all are in memory."
    f"  [default: {DEFAULT_MODEL}]",
)

store_option = click.option(
    "--store", is_flag=True, help="Write what was measured to the card of each model."
)


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
def folder_command(
    *,
    references: Path,
    estimates: Path,
    rules: ScoringSettings,
    pieces: int,
    output: Path | None,
    console: Console,
) -> None:
    """Compare the stems in ESTIMATES with the true ones in REFERENCES, paired by name.

    Both are folders with sound files, or trees of such folders with the same names. Vocals and
    instrumental (or accompaniment, no_vocals) are judged as a pair, all others together.
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
    """Score models on MUSDB18 or MUSDB18-HQ, which --root or MUSDB_PATH names.

    Both numbers that go by the name of SDR are given: BSSEval's median over windows of a second
    and then over songs, and the mean over songs of that of whole songs. For a scale, the mixture
    itself, the ideal ratio mask and published figures stand beside them. Typed again, it goes on.
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
        rows = summarize(evaluation.results.scores)
        show_stored(console, store_scores(rows, models, measured, rules, how))
    click.get_current_context().exit(code)
