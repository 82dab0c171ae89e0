"""Display of a search: lines for a log, and a live table in a terminal."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stemcli.cli.console import Console
from stemcli.cli.formatting import clock, millions
from stemcli.cli.live_console import LiveConsole
from stemcli.engine.events import Event
from stemcli.printable import counted, printable
from stemcli.process import Closing
from trainers.cli.dashboard import sparkline
from trainers.cli.display import Drawn, Region
from trainers.search.plan import Plan
from trainers.search.trials import (
    SearchFinished,
    SearchStarted,
    Trial,
    TrialEnded,
    TrialProposed,
    Trials,
    TrialStarted,
    TrialValidated,
)

GAP = 2
"""Columns between two of a table."""

SPARK = 12  # columns of a small curve
BAR = 12  # columns of the steps of a trial
WIDE = 70  # columns from which on values are shown beside a trial


def open_search_display(
    plan: Plan, console: Console, trials: Trials | None = None
) -> SearchDisplay:
    """The display that fits the console.

    Args:
        plan: of the search.
        console: that it writes to.
        trials: those of a search that is resumed.
    """
    if isinstance(console, LiveConsole):
        return LiveSearchDisplay(plan, console, trials)
    return SearchDisplay(plan, console, trials)


class SearchDisplay(Closing):
    """Passes every event to a program, and prints the progress of trials in lines for people."""

    def __init__(self, plan: Plan, console: Console, trials: Trials | None = None) -> None:
        self.plan, self.console = plan, console
        self.trials = trials or Trials(plan.score)
        self.started: SearchStarted | None = None
        self._began = time.monotonic()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Time since the search was started."""
        return time.monotonic() - self._began

    def close(self) -> None:
        """Bring to rest what moves."""

    def show(self, event: Event) -> None:
        """Show what the search tells."""
        self.console.show(event)
        with self._lock:
            self.trials.note(event)
        match event:
            case SearchStarted():
                self.started = event
                for line in facts(event):
                    self.say(line)
                self.on_started()
            case TrialProposed():
                self.say(f"Trial {event.number}: {values(event.shown)}")
            case TrialStarted() if event.step:
                self.say(f"Trial {event.number} resumes after step {event.step}")
            case TrialValidated():
                self.on_validated(event)
            case TrialEnded():
                self.say(ending(self.trials.by_number[event.number], self.trials.score))
            case SearchFinished():
                self.close()

    def say(self, text: str) -> None:
        """Say one line that stays."""
        self.console.line(text)

    def on_started(self) -> None:
        """Begin to draw, where something moves."""

    def on_validated(self, event: TrialValidated) -> None:
        """Say how good a trial is."""
        self.say(
            f"Trial {event.number} after step {event.step}: {event.sdr:.2f} dB {self.trials.score}"
        )


class LiveSearchDisplay(Drawn, SearchDisplay):
    """Proposals and ends as lines that stay; trials that run in a table below them."""

    def __init__(self, plan: Plan, console: LiveConsole, trials: Trials | None = None) -> None:
        super().__init__(plan, console, trials)
        self._region = Region(console.terminal, self)

    def close(self) -> None:
        """Take the table away: the ranking follows."""
        self._region.transient = True
        self._region.stop()

    def say(self, text: str) -> None:
        """Above the table, folded between words."""
        self._region.console.print(Text(printable(text)))

    def on_started(self) -> None:
        """Begin to draw; from then on the region looks by itself."""
        self._region.start(refresh=True)

    def on_validated(self, event: TrialValidated) -> None:
        """Nothing: the table shows it."""

    def content(self, width: int, height: int) -> Group:
        """How the search stands, and the trials that run."""
        trials, total = self.trials, self.plan.trials
        running = [trial for trial in trials if not trial.is_over]
        return Group(
            summary(trials, total, self.seconds, width),
            running_table(running, self.trials.score, self.steps, width),
        )

    @property
    def steps(self) -> int:
        """Of a whole trial."""
        return self.started.steps if self.started else 1


def facts(event: SearchStarted) -> list[str]:
    """What is searched, where and on what: a line each."""
    gpu = ", one GPU each" if event.gpus else ""
    spread = f" of {event.workers} workers" if event.workers > 1 else ""
    before = f", {event.over} of them over" if event.over else ""
    lines = [
        f"Search: {event.architecture} around the recipe {event.recipe}, "
        f"{counted(event.trials, 'trial')}{before}"
    ]
    if event.at_once:
        lines.append(
            f"At once: {counted(event.at_once, 'trial')}{spread}, "
            f"{counted(event.cores, 'core')} each{gpu}"
        )
    lines += [f"Data: {line}" for line in event.data[:1]] + [*event.data[1:]]
    lines.append(f"Varied: {', '.join(event.varied)}")
    if event.rungs:
        rungs = ", ".join(map(str, event.rungs))
        lines.append(f"Compared after {rungs} of {event.steps} steps, when bad trials are stopped")
    return lines


def values(shown: dict[str, str]) -> str:
    """Hyperparameters in a line."""
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def ending(trial: Trial, score: str) -> str:
    """How a trial ended, in a line."""
    best = "" if trial.sdr is None else f", best {trial.sdr:.2f} dB {score}"
    words = f"failed: {trial.reason}" if trial.state == "failed" else trial.reason
    return f"Trial {trial.number}: {words}{best}"


def summary(trials: Trials, total: int, seconds: float, width: int) -> Table:
    """One line: how many trials are over, a bar, the best and the time."""
    best = trials.best
    line = Table.grid(padding=(0, 2, 0, 0), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    ends = [f"{trials.count(state)} {state}" for state in ("stopped", "failed")]
    words = [*(ends if width >= WIDE else [])]
    words += [f"best {best.sdr:.2f} dB (trial {best.number})"] if best else []
    line.add_row(
        f"{trials.over}/{total} trials",
        ProgressBar(total=total, completed=trials.over),
        Text("  ".join([*words, clock(seconds)]), style="cyan"),
    )
    return line


def running_table(running: list[Trial], score: str, steps: int, width: int) -> Table:
    """The trials that run: steps, score and its curve, and what is tried."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    table.add_column("trial", justify="right", min_width=5)
    table.add_column("step", justify="right", min_width=len(f"{steps}/{steps}"))
    table.add_column("", min_width=BAR)
    table.add_column(f"{score} dB", justify="right", min_width=6)
    table.add_column("", min_width=SPARK)
    if width >= WIDE:
        table.add_column("size", justify="right", min_width=5)
        table.add_column("values", no_wrap=True, overflow="ellipsis", ratio=1)
    for trial in running:
        cells: list[RenderableType] = [
            str(trial.number),
            f"{trial.step}/{steps}",
            ProgressBar(total=steps, completed=trial.step, width=BAR),
            "" if trial.sdr is None else f"{trial.sdr:.2f}",
            Text(sparkline([sdr for _, sdr in trial.curve], SPARK), "cyan"),
        ]
        if width >= WIDE:
            size = millions(trial.parameters) if trial.parameters else ""
            cells += [size, values(trial.shown)]
        table.add_row(*cells)
    return table


def show_ranking(trials: Trials, console: Console) -> None:
    """All trials, the best first; what failed with its reason below.

    Where a terminal is too narrow for the values, they follow in lines.
    """
    names = [*next(iter(trials)).shown] if len(trials) else []
    heads = (">rank", ">trial", f">{trials.score} dB", ">steps", "end", ">size", ">time")
    rows = [
        [
            str(rank),
            str(trial.number),
            "" if trial.sdr is None else f"{trial.sdr:.2f}",
            str(trial.step),
            trial.state,
            millions(trial.parameters) if trial.parameters else "",
            clock(trial.seconds),
            *(trial.shown.get(name, "") for name in names),
        ]
        for rank, trial in enumerate(trials.ranked, start=1)
    ]
    console.line()
    columns = (*heads, *(f">{name}" for name in names))
    if _fits(columns, rows):
        console.table(columns, rows)
    else:
        console.table(heads, [row[: len(heads)] for row in rows])
        for trial in trials.ranked:
            console.result(f"Trial {trial.number}: {values(trial.shown)}")
    failed = [trial for trial in trials if trial.state == "failed"]
    if failed:
        console.result()
        console.table(("failed", "why"), [(f"trial {one.number}", one.reason) for one in failed])


def _fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table is no wider than the terminal, where there is one."""
    if not sys.stdout.isatty():
        return True
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return sum(widths) + GAP * len(widths) <= shutil.get_terminal_size().columns
