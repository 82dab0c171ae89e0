"""Shows an evaluation: a line per song, a progress bar in terminals, a table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stemcli.cli.console import Console
from stemcli.cli.live_console import LiveConsole
from stemcli.engine.events import Event
from stemcli.printable import counted, printable, printable_lines
from stemcli.process import Closing
from trainers.evaluation.evaluate import Evaluation, EvaluationResults
from trainers.evaluation.events import EvaluationStarted, ScoringFailed, Separating, TrackScored
from trainers.evaluation.metric_table import METRICS, decibels
from trainers.evaluation.results import Heading, write_results
from trainers.evaluation.summary import (
    Row,
    published_stems,
    published_title,
    stems,
    summarize,
    summary_document,
)


class EvaluationDisplay(Closing):
    """Shows the events of an evaluation; a context manager that removes the bar at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._left = 0
        self._named: set[tuple[str, str]] = set()

    def show(self, event: Event) -> None:
        """Show an event of the evaluation or of the engine."""
        match event:
            case EvaluationStarted():
                self._started(event)
            case Separating():
                self._move(f"{event.method}: {event.song}", 0)
            case TrackScored():
                self._move(event.song, 1)
                self.console.line(line(event))
            case ScoringFailed():
                self._move(event.song, 1)
                self._failed(event)
        self.console.show(event)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _failed(self, event: ScoringFailed) -> None:
        """Print an error once, even if all methods fail on the same unreadable song."""
        if (event.song, event.message) in self._named:
            return
        self._named.add((event.song, event.message))
        self.console.error(str(event))
        if self.console.verbose:
            click.echo(printable_lines(event.trace), err=True)

    def _started(self, event: EvaluationStarted) -> None:
        self._left = event.songs * len(event.methods) - event.kept
        if event.kept:
            self.console.line(f"{counted(event.kept, 'score')} of an earlier run reused")
        if isinstance(self.console, LiveConsole) and self._left > 0:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self.console.terminal,
                transient=True,
                redirect_stderr=False,
            )
            self._bar.add_task(f"{counted(event.songs, 'song')}", total=self._left)
            self._bar.start()

    def _move(self, words: str, done: int) -> None:
        if self._bar:
            task = self._bar.task_ids[0]
            self._bar.update(task, description=printable(words)[:50], advance=done)


def line(event: TrackScored) -> str:
    """Return the line for one song and method: BSSEval's SDR of each stem."""
    values = "  ".join(f"{stem} {decibels(value)}" for stem, value in event.sdr.items())
    song = event.song if event.song == event.method else f"{event.song}  {event.method}"
    return f"{song}: SDR {values}"


def show_rows(console: Console, rows: Sequence[Row], window: float) -> None:
    """Print the table of scores and explain its columns."""
    columns = ("=method", "=stem", *(f">{metric.short}" for metric in METRICS), ">songs")
    console.line()
    console.table(
        columns,
        [
            (row.method, row.stem, *(decibels(row.values[m.key]) for m in METRICS), row.counted)
            for row in rows
        ],
    )
    console.result(
        f"In dB. SDR to SAR: BSSEval v4, median over windows of {window:g} s, then over songs."
    )
    console.result("global SDR, SI-SDR: over whole songs, mean over songs, as in challenges.")


def show_published(console: Console, heading: Heading, results: EvaluationResults) -> None:
    """Print published results for the stems that were scored."""
    measured = [stem for songs in results.scores.values() for stem in stems(songs)]
    names = published_stems(heading.published, measured)
    if not names:
        return
    console.result()
    console.result(f"{published_title(heading.is_musdb18)}:")
    console.table(
        ("=system", "=metric", *(f">{stem}" for stem in names)),
        [
            (figure.name, figure.metric, *(decibels(figure.sdr.get(stem)) for stem in names))
            for figure in heading.published
        ],
    )


def show_stored(console: Console, cards: Iterable[str]) -> None:
    """Print the names of the changed cards."""
    for name in cards:
        console.line(f"Results were written to the card of {name}")


def run(evaluation: Evaluation, console: Console) -> None:
    """Run an evaluation and display its progress."""
    with console, EvaluationDisplay(console) as shown:
        evaluation.run(shown.show)


def finish(evaluation: Evaluation, heading: Heading | None, console: Console) -> int:
    """Write the results, print them and return the exit code.

    Args:
        evaluation: an evaluation that has run.
        heading: heading of the report; None writes nothing.
        console: where to print the results.
    """
    report = write_results(evaluation, heading) if heading else None
    results, rules = evaluation.results, evaluation.rules
    rows = summarize(results.scores)
    console.document({"event": "evaluated", **summary_document(rows, rules.plain)})
    if rows:
        show_rows(console, rows, rules.window)
    if heading:
        show_published(console, heading, results)
        console.line(f"Scores, tables and the report are in {evaluation.output}")
        console.line(f"Open: {report}")
    if results.failures:
        count = counted(len(results.failures), "score")
        console.error(f"{count} missing; see the errors above.")
    return 1 if results.failures else 0
