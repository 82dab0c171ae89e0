"""Output of the commands: plain lines, tables, JSON; the only module that draws.

A terminal gets moving bars (:mod:`stemcli.cli.live_console`), a file or a pipe plain lines, a
program JSON.

Results go to standard output: what a command was asked for, to be read, saved or passed on, with
:meth:`Console.result` and :meth:`Console.table`; and with ``--json`` all events, with
:meth:`Console.document`. Everything else is status and goes to standard error: progress, notes,
what was written and where, sums of a run, what to type next, and errors.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from stemcli.cli.formatting import clock, size, times_real_time
from stemcli.cli.json_output import write_document
from stemcli.printable import counted, printable, printable_lines
from stemcli.process import Closing

if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.console import RenderableType
    from rich.table import Table

    from stemcli.batch.library import LibraryScan
    from stemcli.batch.report import (
        BatchReport,
        BatchStarted,
        Outcome,
        WorkerJoined,
        WorkerLost,
        WorkerRefused,
        WorkersAwaited,
    )
    from stemcli.engine import events

OUTCOMES: tuple[Outcome, ...] = ("done", "skipped", "failed")
PLAIN_INTERVAL = 10.0  # seconds between two lines about the progress of the same song

UNFOLDED_WIDTH = 10_000  # columns if the output is not a terminal: no cell is ever cut
GAP = 3  # spaces between two columns of a table
LONGEST_WORD = 30
"""Characters of the longest word that is not broken: longer than class names, not checksums."""
NARROWEST = 16  # columns into which a longer text may be folded


def open_console(*, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> Console:
    """The console that fits the options and the place where the output goes."""
    if as_json:
        return JsonConsole(verbose)
    if quiet:
        return Console(verbose)
    if sys.stderr.isatty() and can_move():
        from stemcli.cli.live_console import LiveConsole

        return LiveConsole(verbose)
    return PlainConsole(verbose)


def can_move() -> bool:
    """Whether the terminal can move its cursor; cron and some containers name none."""
    return os.name == "nt" or os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class Console(Closing):
    """Prints errors only; subclasses print more.

    A context manager, so that live displays stop at the end.
    """

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop what is live on the screen."""

    def show(self, event: events.Event) -> None:
        """Show an event of the engine; may be called from several threads."""
        handler = getattr(self, f"on_{event.to_dict()['event']}", None)
        if handler:
            with self._lock:
                handler(event)

    def line(self, text: str = "") -> None:
        """Print one line of status, for people."""

    def result(self, text: str = "") -> None:
        """Print one line of a result, for people."""

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Show people, inside this context, what takes a while."""
        return nullcontext()

    def document(self, value: Any) -> None:
        """Print ``value`` as JSON, for programs."""

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        is_status: bool = False,
    ) -> None:
        """Print a table for people, as a result or as status.

        A column named with a leading ``>`` is set flush right. In a terminal that is too narrow,
        the longest column is folded between words, unless its name begins with ``=``.
        """

    def draw(self, content: RenderableType) -> None:
        """Print a rich renderable for people, as a result."""

    def downloaded(self) -> None:
        """Remove the bars of downloads that are over."""

    def found(self, found: LibraryScan) -> None:
        """Report folders that could not be read, as errors."""
        for folder in found.unreadable:
            self.error(f"{folder} may not be read, so its songs are left out.")
        for folder, why in found.unclear.items():
            self.error(f"The songs in {folder} are left out: {why}.")

    def report(self, report: BatchReport) -> None:
        """Print a summary of a run."""

    def traces(self, report: BatchReport) -> None:
        """Print the tracebacks of failures, with ``--verbose``."""
        for track in report.failures if self.verbose else ():
            click.echo(printable_lines(f"{printable(track.song)}:\n{track.trace}"), err=True)

    def error(self, text: str) -> None:
        """Say on stderr what went wrong; always shown."""
        click.echo(f"Error: {printable(text)}", err=True)

    def on_worker_refused(self, event: WorkerRefused) -> None:
        """Print what to fix on that machine."""
        self.error(f"{event.worker} cannot work: {event.reason}")

    def on_track_failed(self, event: events.TrackFailed) -> None:
        """Print the error, with the name of the song unless the message has it."""
        named = Path(event.track).name in event.message
        self.error(event.message if named else f"{event.track}: {event.message}")


class JsonConsole(Console):
    """One JSON document per line on stdout, and nothing else there."""

    def show(self, event: events.Event) -> None:
        """Print the event; a failure is a sentence on stderr as well."""
        super().show(event)
        with self._lock:
            self.document(event.to_dict())

    def document(self, value: Any) -> None:
        """Print ``value`` as one line."""
        write_document(value)


class HumanConsole(Console):
    """Prints sentences for people."""

    sums_skipped = False
    """Whether the number of skipped songs was printed, so that none needs a line of its own."""

    def line(self, text: str = "") -> None:
        """Print one line on stderr."""
        click.echo(printable(text), err=True)

    def result(self, text: str = "") -> None:
        """Print one line on stdout."""
        click.echo(printable(text))

    def busy(self, text: str) -> AbstractContextManager[object]:
        """Show a spinner on stderr, if that is a terminal."""
        if not sys.stderr.isatty():
            return super().busy(text)
        from stemcli.cli.live_console import waiting

        return waiting(text)

    def on_batch_started(self, event: BatchStarted) -> None:
        """Print how many files are not songs, and what an earlier run has done."""
        if event.passed:
            self.line(f"{counted(event.passed, 'file')} passed over: stems of earlier runs")
        self.sums_skipped = bool(event.skipped)
        for reason, count in event.skipped.items():
            self.line(f"{counted(count, 'song')} skipped: {reason}")
        for reason, count in event.again.items():
            self.line(f"{counted(count, 'song')} again: {reason}")

    def on_model_loaded(self, event: events.ModelLoaded) -> None:
        """Print the device, and with ``--verbose`` the reason for the precision."""
        why = f" ({event.reason})" if self.verbose else ""
        better = f". Better for most songs: {', '.join(event.better)}" if event.better else ""
        engine = "" if event.backend == "torch" else f", {event.backend}"
        engine += f" ({event.backend_reason})" if engine and self.verbose else ""
        self.line(f"Model {event.model} on {event.device}, {event.precision}{why}{engine}{better}")

    def on_worker_joined(self, event: WorkerJoined) -> None:
        """Print the machine and its device."""
        self.line(f"Worker on {event.worker}: {event.device}, {event.precision}")

    def on_worker_lost(self, event: WorkerLost) -> None:
        """Print that its songs are not lost."""
        self.line(
            f"Lost the worker on {event.worker} ({event.reason}); its songs go to other workers"
        )

    def on_workers_awaited(self, event: WorkersAwaited) -> None:
        """Print what the run is waiting for."""
        held = "whose cores or GPUs other programs seem to hold" if event.slots else "yet"
        self.line(f"Waiting: there are {event.slots} places for a worker {held} (see: ray status)")

    def on_notice(self, event: events.Notice) -> None:
        """Print a note."""
        self.line(f"Note: {event.track}: {event.message}")

    def on_track_skipped(self, event: events.TrackSkipped) -> None:
        """Print why a song was skipped."""
        if not self.sums_skipped or self.verbose:
            self.line(f"{event.track}: skipped, {event.reason}")

    def on_track_finished(self, event: events.TrackFinished) -> None:
        """Print where the stems and the picture are."""
        speed = times_real_time(event.audio_seconds, event.wall_seconds)
        self.line(
            f"{event.track}: done in {clock(event.wall_seconds)}"
            + (speed and f", {speed} real time")
        )
        picture = [("picture", event.picture)] if event.picture else []
        files = [*event.outputs.items(), *picture]
        width = max((len(name) for name, _ in files), default=0)
        for name, path in files:
            self.line(f"  {name:<{width}}  {path}")

    def found(self, found: LibraryScan) -> None:
        """Print how many songs were found and which files were passed over."""
        super().found(found)
        passed = f" ({', '.join(found.passed_over)})" if found.passed_over else ""
        self.line(counted(len(found.songs), "song") + passed)
        for pattern in found.unmatched:
            self.line(f"Note: no song matches {pattern}; only * and ? are wildcards")

    def report(self, report: BatchReport) -> None:
        """Print which songs failed and why, and a row of totals."""
        if report.failures:
            self.line()
            rows = [(track.song, track.message) for track in report.failures]
            self.table(("failed", "why"), rows, is_status=True)
        speed = times_real_time(report.audio_seconds, report.wall_seconds)
        self.line()
        sums = (
            *(str(report.count(outcome)) for outcome in OUTCOMES),
            clock(report.audio_seconds),
            clock(report.wall_seconds),
            f"{speed} real time" if speed else "",
        )
        columns = (*(f">{outcome}" for outcome in OUTCOMES), ">music", ">time", "speed")
        self.table(columns, [sums], is_status=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        is_status: bool = False,
    ) -> None:
        """Print a table; in a terminal that is too narrow even for folded cells, print records."""
        stream = sys.stderr if is_status else sys.stdout
        cells = [[printable(cell) for cell in row] for row in rows]
        terminal = terminal_of(stream)
        table = rich_table(columns, cells)
        least = sum(column.min_width or 0 for column in table.columns) + GAP * (len(columns) - 1)
        _print(table if least <= terminal.width else records(columns, cells), terminal, stream)

    def draw(self, content: RenderableType) -> None:
        """Print a rich renderable, folded where a terminal is too narrow."""
        _print(content, terminal_of(sys.stdout), sys.stdout)


class PlainConsole(HumanConsole):
    """Prints lines that read well in a log."""

    def __init__(self, verbose: bool = False) -> None:
        super().__init__(verbose)
        self._last: dict[str, float] = {}

    def on_track_started(self, event: events.TrackStarted) -> None:
        """Print the song that was opened."""
        self._last[event.track] = time.monotonic()
        length = clock(event.seconds) if event.seconds is not None else "unknown length"
        self.line(f"{event.track}: {length}, {event.sample_rate} Hz, {channels(event.channels)}")

    def on_download_progress(self, event: events.DownloadProgress) -> None:
        """Print the progress of a download, now and then."""
        if self._is_due(event.track):
            done = size(event.bytes_done)
            how_far = share(event.bytes_done, event.bytes_total)
            self.line(f"{event.track}: downloading, {f'{done}, {how_far}' if how_far else done}")

    def on_progress(self, event: events.Progress) -> None:
        """Print the progress of a song, now and then."""
        if self._is_due(event.track):
            how_far = share(event.seconds_done, event.seconds_total) or clock(event.seconds_done)
            self.line(f"{event.track}: {event.stage}, {how_far}")

    def _is_due(self, track: str) -> bool:
        """Whether the last line about a song was long enough ago."""
        now = time.monotonic()
        is_due = now - self._last.setdefault(track, now) >= PLAIN_INTERVAL
        if is_due:
            self._last[track] = now
        return is_due


def share(done: float, total: float | None) -> str:
    """How much is done as ``50 %``; empty if the end is unknown."""
    return f"{min(1.0, done / total):.0%}".replace("%", " %") if total else ""


def channels(count: int) -> str:
    """``mono``, ``stereo`` or ``6 channels``."""
    names: Mapping[int, str] = {1: "mono", 2: "stereo"}
    return names.get(count, f"{count} channels")


def terminal_of(stream: TextIO) -> Terminal:
    """Return the terminal of a stream, or one so wide that nothing is folded."""
    from rich.console import Console as Terminal

    width = None if stream.isatty() else UNFOLDED_WIDTH
    return Terminal(file=stream, width=width, highlight=False, markup=False, emoji=False)


def rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table in which the longest column may be folded, and every other has its full width."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.show_header = any(columns)
    for number, name in enumerate(columns):
        title = name.lstrip(">=")
        width = max(map(cell_len, [title, *(row[number] for row in rows)]))
        justify: Any = "right" if name.startswith(">") else "left"
        table.add_column(title, justify=justify, overflow="fold", no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    texts = [one for one, name in zip(table.columns, columns, strict=True) if name[:1] != "="]
    if texts:
        longest = max(texts, key=lambda column: column.min_width or 0)
        words = [word for cell in longest.cells for word in str(cell).split()]
        least = max([NARROWEST, *(min(cell_len(word), LONGEST_WORD) for word in words)])
        longest.no_wrap = False
        longest.min_width = min(longest.min_width or 0, least)
    return table


def records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Every row as its first cell, with the other cells and their titles below.

    A number in the first cell gets its title too.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    title_of_first, *titles = [name.lstrip(">=") for name in columns]
    is_number = columns[0].startswith(">")
    lines: list[RenderableType] = []
    for first, *others in rows:
        pairs = zip(titles, others, strict=True)
        said = [f"{title}: {cell}" if title else cell for title, cell in pairs if cell]
        lines.append(Text(f"{title_of_first}: {first}" if is_number else first))
        if said:
            lines.append(Padding(Text("; ".join(said)), (0, 0, 0, GAP)))
    return Group(*lines)


def _print(content: RenderableType, terminal: Terminal, stream: TextIO) -> None:
    """Print without spaces at the ends of lines, as text that is copied or compared needs it."""
    with terminal.capture() as captured:
        terminal.print(content)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    click.echo("\n".join(lines), file=stream)
