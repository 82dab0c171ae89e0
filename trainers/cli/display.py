"""Shows a training run: lines for logs, a live table for terminals, worker groups of a cluster."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import TextIO

from rich.console import Console as Terminal
from rich.console import ConsoleOptions, ConsoleRenderable, RenderableType, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.text import Text

from stemcli.cli.console import Console
from stemcli.cli.formatting import clock, millions
from stemcli.cli.live_console import LiveConsole
from stemcli.engine.events import Event
from stemcli.printable import counted, printable
from stemcli.process import Closing
from trainers.cli.dashboard import STAGES, draw, number, percent, shown, stage_words
from trainers.cli.run_statistics import RunStatistics
from trainers.cluster.job import (
    WorkerGroupAwaited,
    WorkerGroupEvent,
    WorkerGroupFinished,
    WorkerGroupLost,
    WorkerGroupPaused,
    WorkerGroupStarted,
    WorkerGroupStarting,
)
from trainers.config import Recipe
from trainers.loop.events import (
    RunFinished,
    RunStarted,
    StageProgress,
    StepDone,
    Validated,
    mean_of_each,
)

LONG = 10.0
"""Seconds from which on a stage between two steps is worth a line."""

MOST_NAMED = 8
"""Up to this many machines are listed by name; of more only the number is shown."""


def worker_group_line(event: WorkerGroupEvent) -> str:
    """Describe an event of the workers in one line; empty if there is nothing to report."""
    line = ""
    match event:
        case WorkerGroupStarted():
            began = "Training" if event.attempt == 1 else "Resuming"
            line = f"{began} with {counted(len(event.hosts), 'worker')} on {hosts(event.hosts)}"
        case WorkerGroupLost():
            which = ", ".join(str(rank + 1) for rank in event.ranks)
            lost = f"worker{'' if len(event.ranks) == 1 else 's'} {which}"
            line = f"Lost {lost} ({event.reason}); resuming from the last checkpoint"
        case WorkerGroupAwaited():
            line = f"Waiting: there is room for {event.room} of {counted(event.wanted, 'worker')}"
        case WorkerGroupStarting():
            line = (
                f"The workers have been starting for {event.seconds} s. If they do not connect, "
                "check for a firewall between them: see docs/clusters.md"
            )
        case WorkerGroupPaused():
            line = f"Saved after step {event.step}; resuming with another number of workers"
        case WorkerGroupFinished():
            line = "" if event.finished else f"Saved after step {event.step}"
    return line


def hosts(names: Sequence[str]) -> str:
    """List machines once each, with the number of workers if there are several."""
    counts = Counter(names)
    if len(counts) > MOST_NAMED:
        return f"{len(counts)} machines"
    return ", ".join(name if n == 1 else f"{name} ({n})" for name, n in counts.items())


def open_display(recipe: Recipe, console: Console, data: str = "") -> Display:
    """Create the display that fits the console.

    Args:
        recipe: recipe of the run.
        console: console to print to.
        data: description of the training data.
    """
    if isinstance(console, LiveConsole):
        return LiveDisplay(recipe, console, data)
    return Display(recipe, console, data)


class Display(Closing):
    """Shows a run: every event for programs, lines for people.

    A context manager, so that live displays stop at the end.
    """

    def __init__(self, recipe: Recipe, console: Console, data: str = "") -> None:
        self.console = console
        self.data = data
        self.figures = RunStatistics(recipe)
        self._lock = threading.Lock()
        self._recent: list[StepDone] = []
        self._has_started = False
        self._stage: StageProgress | None = None
        self._entered = self._said = 0.0

    def close(self) -> None:
        """Stop what is live on the screen."""

    def show(self, event: Event) -> None:
        """Show an event of the training loop."""
        self.console.show(event)
        with self._lock:
            self.figures.note(event)
        match event:
            case RunStarted():
                self.on_started(event)
            case StepDone():
                self.on_step(event)
            case Validated():
                self.on_validated(event)
            case StageProgress():
                self.on_stage(event)
            case RunFinished():
                self.on_finished(event)
            case WorkerGroupEvent():
                self.on_worker_group(event)

    def say(self, text: str) -> None:
        """Print a line that stays on the screen."""
        self.console.line(text)

    def on_started(self, event: RunStarted) -> None:
        """Print the facts of the run once; workers that resume only report the step."""
        again = [going_on(event) or "Starting again: no checkpoint had been saved"]
        for line in again if self._has_started else facts(event, self.data):
            self.say(line)
        self._has_started = True
        self._recent.clear()

    def on_step(self, event: StepDone) -> None:
        """Print progress at the interval that the recipe's ``log.every`` sets."""
        self._recent.append(event)
        if event.step % self.figures.recipe.log.every == 0 or event.step == self.figures.steps:
            self.say(progress(self._recent, self.figures, self.console.verbose))
            self._recent.clear()

    def on_validated(self, event: Validated) -> None:
        """Print the validation scores."""
        self.say(scores(event, self.figures))

    def on_stage(self, event: StageProgress) -> None:
        """Print progress of a stage that takes long, and how long it took."""
        before, now = self._stage, time.monotonic()
        self._stage = event
        if before is None or before.stage != event.stage:
            self._leave(before, now)
            self._entered = self._said = now
        elif event.stage != "training" and now - self._said >= LONG:
            self._said = now
            self.say(f"step {event.step}: {stage_words(event)}")

    def _leave(self, stage: StageProgress | None, now: float) -> None:
        """Print how long a stage took."""
        if stage and stage.stage != "training" and now - self._entered >= LONG:
            self.say(f"step {stage.step}: {STAGES[stage.stage]} took {clock(now - self._entered)}")

    def on_worker_group(self, event: WorkerGroupEvent) -> None:
        """Print what happened to the workers of a cluster."""
        line = worker_group_line(event)
        if line:
            self.say(line)

    def on_finished(self, event: RunFinished) -> None:
        """Print why the run ended and its best score."""
        self.on_stage(StageProgress(event.step, "training"))
        word, unit = self.figures.score
        best = "" if event.best_mean is None else f"; best {word} {event.best_mean:.2f} {unit}"
        self.say(f"Finished after {counted(event.step, 'step')}: {event.reason}{best}")


def facts(event: RunStarted, data: str) -> list[str]:
    """Describe network, device and data of a run, one line each."""
    discriminator = event.discriminator_parameters
    against = f", {millions(discriminator)} in discriminators" if discriminator else ""
    lines = [
        f"Recipe {event.recipe}: {event.architecture}, {millions(event.parameters)} parameters"
        f"{against}, on {event.device}, {event.precision}"
    ]
    lines.extend(_data_lines(event, data))
    lines += filter(None, [going_on(event)])
    return lines


def going_on(event: RunStarted) -> str:
    """Describe the step that a run resumes from; empty for a new run."""
    if not event.first_step:
        return ""
    return f"Resuming after step {event.first_step:,} of {event.steps:,}"


def _data_lines(event: RunStarted, data: str) -> list[str]:
    """Describe the data."""
    if event.data:
        first, *rest = event.data
        return [f"Data: {', '.join(filter(None, (data, first)))}", *rest]
    songs = counted(event.validation_songs, "validation song") if event.validation_songs else ""
    summary = ", ".join(filter(None, (data, songs or "no validation songs")))
    return [f"Data: {summary}"]


def progress(steps: Sequence[StepDone], figures: RunStatistics, verbose: bool) -> str:
    """Describe progress in one line: means over ``steps``, speed and time left."""
    last, pace = steps[-1], figures.pace
    losses = mean_of_each([step.losses for step in steps])
    norms = mean_of_each([step.gradient_norms for step in steps])
    parts = [f"step {last.step}/{figures.steps}"]
    parts += [f"epoch {figures.epoch:.1f}"] if figures.epoch is not None else []
    parts += [f"{name} {number(losses[name])}" for name in shown(losses, verbose)]
    parts += [f"gradient{_whose(name)} {number(norm)}" for name, norm in norms.items()]
    parts += [f"rate{_whose(name)} {rate:.3g}" for name, rate in last.learning_rates.items()]
    parts += [f"{pace.seconds:.2f} s a step, {percent(pace.waiting)} waiting for data"]
    parts += [f"{clock(figures.left)} left"] if figures.left else []
    return "  ".join(parts)


def scores(event: Validated, figures: RunStatistics) -> str:
    """Describe a validation in one line: score of each stem, mean and its change."""
    word, unit = figures.score
    named = event.sdr | ({"mean": event.mean} if len(event.sdr) > 1 else {})
    values = ", ".join(f"{name} {value:.2f}" for name, value in named.items())
    moved = figures.mean.change if figures.mean else None
    change = "" if moved is None else f" ({moved:+.2f})"
    found = "".join(f", {name} {value:.4g}" for name, value in event.diagnostics.items())
    best = ", best so far" if event.best else ""
    return f"step {event.step}: {word} {values} {unit}{change}{best}{found}"


def _whose(name: str) -> str:
    return "" if name == "model" else f" of {name}"


REFRESH = 4  # times per second
ROOM = 2  # columns for the ^C of a terminal, so that ^C does not break the display


class Drawn(ABC):
    """Content that is redrawn repeatedly and remembers the widths of the lines drawn last."""

    widths: Sequence[int] = ()
    """Width of each line drawn last, in columns."""

    _lock: Lock

    @abstractmethod
    def content(self, width: int, height: int) -> RenderableType:
        """Return the content for a width and, as far as possible, a height."""

    def __rich_console__(self, terminal: Terminal, options: ConsoleOptions) -> RenderResult:
        width, height = terminal.width - ROOM, terminal.height - 1
        with self._lock:
            content = self.content(width, height)
            lines = terminal.render_lines(content, options.update_width(width), pad=False)
        lines = [_without_end(line) for line in lines]
        self.widths = [Segment.get_line_length(line) for line in lines]
        for line in lines:
            yield from line
            yield Segment.line()


class LiveDisplay(Drawn, Display):
    """Prints facts and validations as lines that stay, above a live table of all numbers."""

    def __init__(self, recipe: Recipe, console: LiveConsole, data: str = "") -> None:
        super().__init__(recipe, console, data)
        self._region = Region(console.terminal, self)

    def close(self) -> None:
        """Stop drawing; the last table stays on the screen."""
        self._region.stop()

    def say(self, text: str) -> None:
        """Print a line above the table, wrapped between words."""
        self._region.console.print(Text(printable(text)))

    def on_started(self, event: RunStarted) -> None:
        """Print the facts and start drawing; from then on the region refreshes itself."""
        super().on_started(event)
        self._region.start(refresh=True)

    def on_step(self, event: StepDone) -> None:
        """Start drawing, if nothing has; the table shows the step."""
        self._region.start(refresh=True)

    def on_stage(self, event: StageProgress) -> None:
        """Print lines before drawing only; afterwards the table shows the stage."""
        if not self._region.is_started:
            super().on_stage(event)

    def content(self, width: int, height: int) -> RenderableType:
        """Return the table."""
        return draw(self.figures, width, height, self.console.verbose)


class Region(Live):
    """Live region at the bottom of a terminal that survives changes of the window size.

    rich moves up as many lines as it has drawn. A terminal that became narrower has wrapped them
    into more, which would stay as garbage. Warnings of libraries are printed above.
    """

    def __init__(self, terminal: Terminal, content: Drawn) -> None:
        super().__init__(
            content,
            console=terminal,
            refresh_per_second=REFRESH,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
            vertical_overflow="crop",
        )
        self._content = content

    def start(self, refresh: bool = False) -> None:
        """Start drawing."""
        if not self.is_started and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=functools.partial(self._leave_alone, sys.stderr))
        super().start(refresh)

    def _leave_alone(self, stderr: TextIO) -> None:
        """Restore stderr in a forked process, where writing through the region would deadlock.

        Another thread may hold the terminal's lock during the fork, and is missing in the child.
        """
        if self.is_started:
            sys.stderr = stderr

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Move up over wrapped lines before drawing."""
        return super().process_renderables([self._unfold(), *renderables])

    def _unfold(self) -> Control:
        width = self.console.width
        folded = sum((columns - 1) // width for columns in self._content.widths if columns)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
        return Control(*up * folded)


def _without_end(line: list[Segment]) -> list[Segment]:
    """Drop trailing spaces, which a narrower terminal would wrap too."""
    kept = [*line]
    while kept and not kept[-1].text.strip():
        kept.pop()
    return [*kept[:-1], Segment(kept[-1].text.rstrip(), kept[-1].style)] if kept else []
