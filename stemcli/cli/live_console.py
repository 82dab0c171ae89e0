"""Moving bars, drawn by rich."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console as Terminal
from rich.console import ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.status import Status
from rich.table import Column
from rich.text import Text

from stemcli.batch.report import BatchStarted
from stemcli.cli.console import HumanConsole
from stemcli.cli.formatting import clock, times_real_time
from stemcli.engine import events
from stemcli.printable import counted, printable

NAME_SHARE = 0.3  # of the width of the terminal
STEADY_WIDTH = 70  # columns from which the bars keep their places
REFRESH = 5  # times per second
TOO_EARLY = 0.5  # seconds before a pace can be estimated
FIRST_STAGE = "separating"
DOWNLOADING = "downloading"
UNCOUNTED = (DOWNLOADING, "measuring")
"""Stages that the bar of the whole run does not count, because they come before the first one."""


class LiveConsole(HumanConsole):
    """One bar per song that is worked on, and one for the whole run when there are several.

    Attributes:
        terminal: the terminal to draw in, shared with other live displays.
    """

    def __init__(self, verbose: bool = False, terminal: Terminal | None = None) -> None:
        super().__init__(verbose)
        self.terminal = terminal or stderr_terminal()
        self._bars = Bars(
            *_columns(self.terminal.width),
            console=self.terminal,
            transient=True,
            expand=True,
            refresh_per_second=REFRESH,
            redirect_stderr=False,
        )
        self._songs: dict[str, SongBar] = {}
        self._run: BatchBar | None = None

    def close(self) -> None:
        """Remove the bars."""
        self._bars.stop()

    def line(self, text: str = "") -> None:
        """Print above the bars."""
        self.terminal.print(Text(printable(text)), soft_wrap=True)

    def error(self, text: str) -> None:
        """Print above the bars too."""
        self.terminal.print(Text(f"Error: {printable(text)}", style="red"), soft_wrap=True)

    def on_batch_started(self, event: BatchStarted) -> None:
        """Several songs get a bar for all of them."""
        super().on_batch_started(event)
        left = event.songs - sum(event.skipped.values())
        if left > 1:
            self._run = BatchBar(self._add(counted(left, "song"), left, ""), left)

    def on_download_progress(self, event: events.DownloadProgress) -> None:
        """Move the bar of a song that is downloaded."""
        self._show_stage(event.track, DOWNLOADING, event.bytes_done, event.bytes_total)

    def on_track_started(self, event: events.TrackStarted) -> None:
        """A new bar, in the place of the one while it was downloaded or measured."""
        self._new_song(event.track, event.seconds, FIRST_STAGE)

    def on_progress(self, event: events.Progress) -> None:
        """Move the bar; a song that is measured has not started yet."""
        song = self._show_stage(event.track, event.stage, event.seconds_done, event.seconds_total)
        speed = times_real_time(event.seconds_done, song.pace.elapsed)
        self._bars.update(song.task, speed=speed)
        self._move_run()

    def on_track_finished(self, event: events.TrackFinished) -> None:
        """Replace the bar by the list of stems."""
        super().on_track_finished(event)
        self._end(event.track)

    def on_track_skipped(self, event: events.TrackSkipped) -> None:
        """Count it."""
        super().on_track_skipped(event)
        if not self.sums_skipped:
            self._end(event.track)

    def on_track_failed(self, event: events.TrackFailed) -> None:
        """Remove the bar and say why."""
        super().on_track_failed(event)
        self._end(event.track)

    def downloaded(self) -> None:
        """Remove all bars."""
        for track in [*self._songs]:
            self._end(track)

    def _new_song(self, track: str, seconds: float | None, stage: str) -> None:
        if track in self._songs:
            self._bars.remove_task(self._songs[track].task)
        self._songs[track] = SongBar(self._add(printable(track), seconds, stage), stage)

    def _show_stage(self, track: str, stage: str, done: float, total: float | None) -> SongBar:
        if track not in self._songs:
            self._new_song(track, total, stage)
        song = self._songs[track]
        song.reach(stage, done, total)
        left = song.pace.left(song.share)
        self._bars.update(song.task, completed=done, total=total, stage=stage, left=left)
        return song

    def _add(self, name: str, total: float | None, stage: str) -> TaskID:
        self._bars.start()
        return self._bars.add_task(name, total=total, stage=stage, speed="", left=None)

    def _end(self, track: str) -> None:
        song = self._songs.pop(track, None)
        if song:
            self._bars.remove_task(song.task)
        if self._run:
            self._run.done += 1
            self._move_run()

    def _move_run(self) -> None:
        if self._run:
            run, songs = self._run, self._songs.values()
            share = run.share([song.share for song in songs if song.stage not in UNCOUNTED])
            # A long song among short ones outlasts what the pace of the run promises.
            paces = (run.pace.left(share), *(song.pace.left(song.share) for song in songs))
            self._bars.update(
                run.task,
                completed=share * run.songs,
                stage=f"{run.done}/{run.songs}",
                left=max((left for left in paces if left is not None), default=None),
            )


class Bars(Progress):
    """Bars that leave room for the ``^C`` of a terminal, so that it does not break them."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """All bars, one below the other."""
        return map(Narrower, super().get_renderables())


@dataclass(frozen=True)
class Narrower:
    """Something drawn into all but the last two columns of a terminal."""

    content: RenderableType

    def __rich_console__(self, terminal: Terminal, options: ConsoleOptions) -> RenderResult:
        yield from terminal.render(
            self.content, options.update_width(options.max_width - len("^C"))
        )


class TimeEstimate:
    """Estimates the time left from the time since it was created."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds so far; 0 while it is too early for an estimate."""
        elapsed = time.monotonic() - self._began
        return elapsed if elapsed >= TOO_EARLY else 0.0

    def left(self, share: float) -> float | None:
        """Seconds left when ``share`` is done; None while it is too early for an estimate."""
        elapsed = self.elapsed
        return elapsed * (1 - share) / share if share > 0 and elapsed > 0 else None


class SongBar:
    """The bar of one song and how much of its stage is done, from 0 to 1."""

    def __init__(self, task: TaskID, stage: str = FIRST_STAGE) -> None:
        self.task = task
        self.stage = stage
        self.pace = TimeEstimate()
        self.share = 0.0

    def reach(self, stage: str, done: float, total: float | None) -> None:
        """Note how far the song is; every stage has a pace of its own."""
        if stage != self.stage:
            self.stage, self.pace = stage, TimeEstimate()
        self.share = min(1.0, done / total) if total else 0.0


class BatchBar:
    """The bar of the whole run and how many of its songs are over."""

    def __init__(self, task: TaskID, songs: int) -> None:
        self.task, self.songs = task, songs
        self.pace = TimeEstimate()
        self.done = 0

    def share(self, current: Sequence[float]) -> float:
        """How much of the run is done, from 0 to 1, with the songs that are being worked on."""
        return min(1.0, (self.done + sum(current)) / self.songs)


class LeftColumn(ProgressColumn):
    """Time left, worded so that it cannot be mistaken for time spent."""

    def render(self, task: Task) -> Text:
        """``0:42 left``."""
        left = task.fields["left"]
        return Text("" if left is None else f"{clock(left)} left", style="cyan")


def waiting(text: str) -> Status:
    """Show a spinner on stderr inside the context, and remove it afterwards."""
    return stderr_terminal().status(Text(printable(text)))


def stderr_terminal() -> Terminal:
    """Terminal that draws to whatever ``sys.stderr`` is at the moment; others may replace it."""
    return Terminal(stderr=True, highlight=False, markup=False, emoji=False)


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    """Name, stage, bar, speed and time left; they keep their places if the terminal is wide."""
    share = max(12, int(width * NAME_SHARE))
    still = width >= STEADY_WIDTH
    name = Column(
        min_width=share if still else None, max_width=share, no_wrap=True, overflow="ellipsis"
    )
    stage = Column(min_width=len(DOWNLOADING) if still else None, no_wrap=True)
    speed = Column(min_width=5 if still else None, no_wrap=True, justify="right")
    left = Column(min_width=10 if still else None, no_wrap=True, justify="right")
    return (
        TextColumn("{task.description}", markup=False, table_column=name),
        TextColumn("{task.fields[stage]}", markup=False, table_column=stage),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[speed]}", markup=False, table_column=speed),
        LeftColumn(table_column=left),
    )
