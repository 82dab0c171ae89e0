"""Shows a training run: lines for logs, a live table for terminals, worker groups of a cluster."""

from __future__ import annotations

import functools
import os
import sys
import threading
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
from trainers.cli.dashboard import RunStatistics, draw, number, percent, shown
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
from trainers.loop.events import RunFinished, RunStarted, StepDone, Validated, mean_of_each

MOST_NAMED = 8
"""Machines that are named; of more only their number is told."""


def worker_group_line(event: WorkerGroupEvent) -> str:
    """One line about the workers; empty where there is nothing to say."""
    line = ""
    match event:
        case WorkerGroupStarted():
            began = "Training" if event.attempt == 1 else "Going on"
            line = f"{began} with {counted(len(event.hosts), 'worker')} on {hosts(event.hosts)}"
        case WorkerGroupLost():
            which = ", ".join(str(rank + 1) for rank in event.ranks)
            lost = f"worker{'' if len(event.ranks) == 1 else 's'} {which}"
            line = f"Lost {lost} ({event.reason}); going on from the last checkpoint"
        case WorkerGroupAwaited():
            line = f"Waiting: there is room for {event.room} of {counted(event.wanted, 'worker')}"
        case WorkerGroupStarting():
            line = (
                f"The workers have been starting for {event.seconds} s. If they do not come "
                "together, a firewall may stand between them: see docs/clusters.md"
            )
        case WorkerGroupPaused():
            line = f"Saved after step {event.step}, to go on with another number of workers"
        case WorkerGroupFinished():
            line = "" if event.finished else f"Saved after step {event.step}"
    return line


def hosts(names: Sequence[str]) -> str:
    """Machines, each once, with the number of its workers where it has several."""
    counts = Counter(names)
    if len(counts) > MOST_NAMED:
        return f"{len(counts)} machines"
    return ", ".join(name if n == 1 else f"{name} ({n})" for name, n in counts.items())


def open_display(recipe: Recipe, console: Console, data: str = "") -> Display:
    """The display that fits the console.

    Args:
        recipe: of the run.
        console: where people or programs read.
        data: what is learned from, in words.
    """
    from stemcli.cli.live_console import LiveConsole

    if isinstance(console, LiveConsole):
        return LiveDisplay(recipe, console, data)
    return Display(recipe, console, data)


class Display(Closing):
    """Tells a program every event, and people in lines how it goes on the mean.

    A context manager: what moves on the screen comes to rest at the end.
    """

    def __init__(self, recipe: Recipe, console: Console, data: str = "") -> None:
        self.console = console
        self.data = data
        self.figures = RunStatistics(recipe)
        self._lock = threading.Lock()
        self._recent: list[StepDone] = []
        self._told = False

    def close(self) -> None:
        """Bring to rest what moves."""

    def show(self, event: Event) -> None:
        """Show what the loop tells; sound is for logs alone."""
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
            case RunFinished():
                self.on_finished(event)
            case WorkerGroupEvent():
                self.on_worker_group(event)

    def say(self, text: str) -> None:
        """Say one line that stays."""
        self.console.line(text)

    def on_started(self, event: RunStarted) -> None:
        """Say what is trained, where and on what; a crew that goes on has the same facts."""
        again = [going_on(event) or "Beginning again: nothing was saved yet"]
        for line in again if self._told else facts(event, self.data):
            self.say(line)
        self._told = True
        self._recent.clear()

    def on_step(self, event: StepDone) -> None:
        """Say now and then how it goes."""
        self._recent.append(event)
        if event.step % self.figures.recipe.log.every == 0 or event.step == self.figures.steps:
            self.say(progress(self._recent, self.figures, self.console.verbose))
            self._recent.clear()

    def on_validated(self, event: Validated) -> None:
        """Say how good it is."""
        self.say(scores(event, self.figures))

    def on_worker_group(self, event: WorkerGroupEvent) -> None:
        """Say what happens to the workers of a cluster."""
        line = worker_group_line(event)
        if line:
            self.say(line)

    def on_finished(self, event: RunFinished) -> None:
        """Say why it ended and how good it became."""
        word, unit = self.figures.score
        best = "" if event.best_mean is None else f"; best {word} {event.best_mean:.2f} {unit}"
        self.say(f"Finished after {counted(event.step, 'step')}: {event.reason}{best}")


def facts(event: RunStarted, data: str) -> list[str]:
    """What is trained, where and on what: a line each."""
    judges = event.discriminator_parameters
    against = f" against {millions(judges)} of discriminators" if judges else ""
    lines = [
        f"Recipe {event.recipe}: {event.architecture}, {millions(event.parameters)} parameters"
        f"{against}, on {event.device}, {event.precision}"
    ]
    lines.extend(_found(event, data))
    lines += filter(None, [going_on(event)])
    return lines


def going_on(event: RunStarted) -> str:
    """From where; empty at the beginning."""
    if not event.first_step:
        return ""
    return f"Going on after step {event.first_step:,} of {event.steps:,}"


def _found(event: RunStarted, data: str) -> list[str]:
    """What there is to learn from."""
    if event.data:
        first, *rest = event.data
        return [f"Data: {', '.join(filter(None, (data, first)))}", *rest]
    songs = counted(event.validation_songs, "validation song") if event.validation_songs else ""
    told = ", ".join(filter(None, (data, songs or "no validation songs")))
    return [f"Data: {told}"]


def progress(steps: Sequence[StepDone], figures: RunStatistics, verbose: bool) -> str:
    """One line: means over ``steps``, the pace and the time left."""
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
    """One validation as a line: all stems, their mean and how it moved."""
    word, unit = figures.score
    named = event.sdr | ({"mean": event.mean} if len(event.sdr) > 1 else {})
    told = ", ".join(f"{name} {value:.2f}" for name, value in named.items())
    moved = figures.mean.change if figures.mean else None
    change = "" if moved is None else f" ({moved:+.2f})"
    found = "".join(f", {name} {value:.4g}" for name, value in event.findings.items())
    best = ", best so far" if event.best else ""
    return f"step {event.step}: {word} {told} {unit}{change}{best}{found}"


def _whose(name: str) -> str:
    return "" if name == "model" else f" of {name}"


REFRESH = 4  # times per second
ROOM = 2  # columns for the ^C of a terminal, lest it begin a line that stays


class Drawn:
    """What is drawn anew now and then, and knows how wide the lines are that it drew last."""

    widths: Sequence[int] = ()
    """Columns of the lines that were drawn last."""

    _lock: Lock

    def content(self, width: int, height: int) -> RenderableType:
        """All that moves, in so many columns and, as far as possible, lines."""
        raise NotImplementedError

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
    """Facts and validations as lines that stay; all numbers in a table below them."""

    def __init__(self, recipe: Recipe, console: LiveConsole, data: str = "") -> None:
        super().__init__(recipe, console, data)
        self._region = Region(console.terminal, self)

    def close(self) -> None:
        """Leave the last table on the screen."""
        self._region.stop()

    def say(self, text: str) -> None:
        """Above the table, folded between words."""
        self._region.console.print(Text(printable(text)))

    def on_step(self, event: StepDone) -> None:
        """Begin to draw; from then on the region looks by itself."""
        self._region.start(refresh=True)

    def content(self, width: int, height: int) -> RenderableType:
        """The table."""
        return draw(self.figures, width, height, self.console.verbose)


class Region(Live):
    """The last lines of a terminal, drawn anew now and then, whatever size it has meanwhile.

    rich goes up as many lines as it has drawn. A terminal that was made narrower has folded them
    into more, which would stay as rubbish. Warnings of libraries are printed above.
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
        """Begin to draw."""
        if not self.is_started and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=functools.partial(self._leave_alone, sys.stderr))
        super().start(refresh)

    def _leave_alone(self, stderr: TextIO) -> None:
        """In a process that was forked off: text that went through here would wait for ever.

        The lock of the terminal may have been held while it was forked, by a thread that it lacks.
        """
        if self.is_started:
            sys.stderr = stderr

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Between going up and drawing: go up what was folded."""
        return super().process_renderables([self._unfold(), *renderables])

    def _unfold(self) -> Control:
        width = self.console.width
        folded = sum((columns - 1) // width for columns in self._content.widths if columns)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
        return Control(*up * folded)


def _without_end(line: list[Segment]) -> list[Segment]:
    """Without the spaces at its end, which a narrower terminal would fold too."""
    kept = [*line]
    while kept and not kept[-1].text.strip():
        kept.pop()
    return [*kept[:-1], Segment(kept[-1].text.rstrip(), kept[-1].style)] if kept else []
