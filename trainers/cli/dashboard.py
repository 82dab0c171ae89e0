"""The live view of a training run: the numbers of its events, and their layout in a terminal.

Losses are shown beside the validation scores if both fit, else above them. In a low terminal, empty
lines are left out first, then the last losses before the total.
"""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.columns import Columns
from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stemcli.cli.formatting import clock
from stemcli.engine.events import Event
from stemcli.printable import printable
from trainers.config import Recipe
from trainers.loop.events import RunStarted, StepDone, Validated

RECENT = 20  # steps in a mean, which is compared with that of the 20 steps before
PACE_STEPS = 100  # steps from which the time left is estimated
SLOW_STEPS = 3  # first steps, with cold caches and compilation
BLOCKS = "▁▂▃▄▅▆▇█"
MOST_SHOWN = 0.99  # larger changes are shown as ">99 %"

GAP = 3  # columns between two tables side by side
BETWEEN = 2  # spaces between two columns of a table
WIDE = 60  # columns from which everything fits beside the bar
SHORTEST = 6  # minimum columns of a name
LEFT = 12  # columns of the time left
SPARKS = 36  # validations in the curve: the minimum width of the table above it

MEAN = {"mean": 8, "change": 6}
GRADIENT = {"gradient": 8, "change": 6, "rate": 8}
SCORE = {"last": 5, "best": 5, "change": 6, "step": 6}
"""Titles of columns and their minimum widths, so that nothing moves."""

COLORS = {"↓": "green", "↑": "red", "→": "dim"}

Row = tuple[str | Text, ...]


@dataclass
class Trend:
    """Mean of a value over the last steps, and its change."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=2 * RECENT))

    def add(self, value: float) -> None:
        """One more step."""
        self.values.append(value)

    @property
    def mean(self) -> float:
        """Mean over the last 20 steps."""
        return mean([*self.values][-RECENT:])

    @property
    def change(self) -> float | None:
        """Change relative to the mean of the 20 steps before; None until there are 40 steps."""
        if len(self.values) < 2 * RECENT:
            return None
        before = mean([*self.values][:RECENT])
        return (self.mean - before) / abs(before) if before else None


class StepTimer:
    """Mean time of a step over the last 100 steps, without the first three of a run.

    The seconds of a step are those of the training alone, so validations do not count.
    """

    def __init__(self) -> None:
        self._steps: deque[StepDone] = deque(maxlen=PACE_STEPS)
        self._first: list[StepDone] = []

    def add(self, step: StepDone) -> None:
        """One more step."""
        if len(self._first) < SLOW_STEPS:
            self._first.append(step)
        else:
            self._steps.append(step)

    @property
    def _counted(self) -> Sequence[StepDone]:
        return self._steps or self._first[-1:]

    @property
    def seconds(self) -> float:
        """Seconds per step; NaN before the first."""
        return mean([step.seconds for step in self._counted])

    @property
    def waiting(self) -> float:
        """Share of the time that is spent waiting for data, from 0 to 1."""
        seconds = sum(step.seconds for step in self._counted)
        return sum(step.waited for step in self._counted) / seconds if seconds > 0 else 0.0

    def left(self, steps: int) -> float | None:
        """Seconds that ``steps`` more steps will take; None before the first step."""
        return None if math.isnan(self.seconds) else self.seconds * steps


@dataclass
class StemScore:
    """Validation scores of one stem, or of the mean of all.

    Attributes:
        last: score of the last validation.
        best: the highest.
        best_step: step of the best score; None if the run was resumed after it.
        change: change since the validation before; None at the first.
    """

    last: float
    best: float
    best_step: int | None
    change: float | None = None

    def move(self, score: float, step: int) -> None:
        """Note the next validation."""
        self.change, self.last = score - self.last, score
        if score > self.best or math.isnan(self.best):
            self.best, self.best_step = score, step


class RunStatistics:
    """Everything that the display knows about a run.

    Attributes:
        recipe: recipe of the run.
        started: event with the facts of the run; None before it arrives.
        step: steps done.
        pace: time per step.
        losses, gradients: trends by name.
        rates: the last learning rates by name.
        stems: scores by stem.
        mean: scores of the mean over the stems; None before the first validation.
        history: mean score of every validation.
        validating: whether a validation is due or running.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.started: RunStarted | None = None
        self.step = 0
        self.pace = StepTimer()
        self.losses: dict[str, Trend] = {}
        self.gradients: dict[str, Trend] = {}
        self.rates: dict[str, float] = {}
        self.stems: dict[str, StemScore] = {}
        self.mean: StemScore | None = None
        self.history: list[float] = []
        self._validated_steps: list[int] = []
        self.validating = False

    def note(self, event: Event) -> None:
        """Update from an event of the loop."""
        match event:
            case RunStarted():
                self._note_start(event)
            case StepDone():
                self._note_step(event)
            case Validated():
                self._note_validation(event)

    def _note_start(self, event: RunStarted) -> None:
        self.started, self.step = event, event.first_step
        # Workers that resume from a checkpoint repeat the steps after it.
        done = sum(step <= event.first_step for step in self._validated_steps)
        del self._validated_steps[done:], self.history[done:]

    def _note_step(self, event: StepDone) -> None:
        self.step = event.step
        self.pace.add(event)
        for trends, values in (
            (self.losses, event.losses),
            (self.gradients, event.gradient_norms),
        ):
            for name, value in values.items():
                trends.setdefault(name, Trend()).add(value)
        self.rates = dict(event.learning_rates)
        due = event.step % self.recipe.validation.every == 0 or event.step == self.steps
        self.validating = due and self.validates

    def _note_validation(self, event: Validated) -> None:
        self.validating = False
        self.history.append(event.mean)
        self._validated_steps.append(event.step)
        for stem, score in event.sdr.items():
            if stem in self.stems:
                self.stems[stem].move(score, event.step)
            else:
                self.stems[stem] = StemScore(score, score, event.step)
        if self.mean:
            self.mean.move(event.mean, event.step)
        else:
            self.mean = StemScore(event.mean, event.best_mean, event.step if event.best else None)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.started.steps if self.started else self.recipe.schedule.steps

    @property
    def score(self) -> tuple[str, str]:
        """Name of the validation score, and its unit."""
        return (self.started.score, self.started.unit) if self.started else ("SDR", "dB")

    @property
    def validates(self) -> bool:
        """Whether there are songs to validate with."""
        return bool(self.started and self.started.validation_songs)

    @property
    def epoch(self) -> float | None:
        """Number of epochs so far; None if the size of an epoch is unknown."""
        size = self.started.steps_per_epoch if self.started else 0.0
        return self.step / size if size > 0 and math.isfinite(size) else None

    @property
    def left(self) -> float | None:
        """Seconds of training that are left, without validations."""
        return self.pace.left(max(0, self.steps - self.step))


def mean(values: Sequence[float]) -> float:
    """Mean; NaN of an empty sequence."""
    return sum(values) / len(values) if values else math.nan


def shown(names: Iterable[str], verbose: bool) -> list[str]:
    """Names of losses, the total last; losses of single stems only if ``verbose``."""
    kept = [name for name in names if verbose or "/" not in name]
    return sorted(kept, key=lambda name: name == "total")


def number(value: float) -> str:
    """A loss or norm in at most eight characters: ``0.0456``, ``12.34``, ``1.2e-05``."""
    size = abs(value)
    if size != 0 and (size < 0.001 or size >= 10_000):
        return f"{value:.1e}"
    return f"{value:.4f}" if size < 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """``12 %``."""
    return f"{100 * share:.0f} %"


def change(share: float | None) -> str:
    """``↓ 3 %``; empty if unknown."""
    if share is None or math.isnan(share):
        return ""
    moved = min(abs(share), MOST_SHOWN)
    arrow = "→" if round(100 * moved) == 0 else "↑" if share > 0 else "↓"
    return f"{arrow}{'>' if abs(share) > MOST_SHOWN else ' '}{percent(moved)}"


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw the last ``width`` values as blocks between their lowest and highest."""
    recent = [value for value in values if math.isfinite(value)][-width:]
    if not recent:
        return ""
    low, span = min(recent), max(recent) - min(recent)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round((value - low) / span * top) if span else 0] for value in recent)


def draw(figures: RunStatistics, width: int, height: int, verbose: bool = False) -> RenderableType:
    """Draw everything in at most ``width`` columns and, as far as possible, ``height`` lines."""
    names = shown(figures.losses, verbose)
    ruler = Terminal(width=width, file=io.StringIO())
    excess = 0
    for space in (1, 0):
        content = layout(figures, names, width, space)
        excess = len(ruler.render_lines(content, pad=False)) - height
        if excess <= 0:
            return content
    folded = min(excess + 1, len(names) - 1)  # one line counts the losses left out
    return layout(figures, names, width, 0, max(0, folded))


def layout(
    figures: RunStatistics, names: list[str], width: int, space: int, folded: int = 0
) -> RenderableType:
    """Bar, losses, validation and gradients.

    Args:
        figures: statistics of the run.
        names: names of the losses, the total last.
        width: columns of the terminal.
        space: empty lines between two parts.
        folded: number of losses before the total to leave out; one line counts them.
    """
    longest = max((len(printable(name)) for name in names), default=0)
    tables = [losses(figures, names, longest, folded), *validation(figures, width)]
    middle = Columns(tables, padding=(space, GAP))
    gap = [""] * space
    return Group(bar(figures, width), *gap, middle, *gap, gradients(figures, longest))


def bar(figures: RunStatistics, width: int) -> RenderableType:
    """One line: the step, a bar, and the time left."""
    line = Table.grid(padding=(0, BETWEEN, 0, 0), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    far = [percent(figures.step / figures.steps)]
    far += [f"epoch {figures.epoch:.1f}"] if figures.epoch is not None else []
    words = [*(far if width >= WIDE else []), f"{_left(figures):>{LEFT}}"]
    line.add_row(
        f"step {figures.step:,}/{figures.steps:,}",
        ProgressBar(total=figures.steps, completed=figures.step),
        Text("  ".join(words), style="cyan"),
    )
    return line


def losses(figures: RunStatistics, names: list[str], longest: int, folded: int) -> RenderableType:
    """Table of the losses: mean and change."""
    rows: list[Row] = []
    for name in [*names[: len(names) - 1 - folded], *names[-1:]]:
        trend = figures.losses[name]
        style = "bold" if name == "total" else ""
        rows.append((Text(printable(name), style), number(trend.mean), _colored(trend.change)))
    if folded:
        rows.insert(len(rows) - 1, (Text(f"and {folded} more", "dim"), "", ""))
    return _table("loss".ljust(longest), MEAN, rows)


def validation(figures: RunStatistics, width: int) -> list[RenderableType]:
    """Table of the scores of each stem; empty before the first validation."""
    if figures.mean is None:
        return []
    scores = {**figures.stems} | ({"mean": figures.mean} if len(figures.stems) > 1 else {})
    rows = [_score_row(name, score) for name, score in scores.items()]
    table = _table(" ".join(figures.score), SCORE, rows)
    curve = Text(sparkline(figures.history, min(SPARKS, width)), "cyan")
    return [Group(table, curve) if len(figures.history) > 1 else table]


def gradients(figures: RunStatistics, longest: int) -> RenderableType:
    """Table of gradient norms and learning rates, and the time per step."""
    rows: list[Row] = []
    for name, trend in figures.gradients.items():
        rate = f"{figures.rates[name]:.3g}" if name in figures.rates else ""
        rows.append((name, number(trend.mean), _colored(trend.change), rate))
    pace = figures.pace
    time = f"{pace.seconds:.2f} s a step, {percent(pace.waiting)} waiting for data"
    line = Text(time, no_wrap=True, overflow="ellipsis")
    return Columns([_table(" " * longest, GRADIENT, rows), line], padding=(0, GAP))


def _score_row(name: str, score: StemScore) -> Row:
    moved = score.change or 0.0
    return (
        Text(printable(name), "bold" if name == "mean" else ""),
        f"{score.last:.2f}",
        f"{score.best:.2f}",
        Text(
            "" if score.change is None else f"{moved:+.2f}",
            "green" if moved > 0 else "red" if moved < 0 else "dim",
        ),
        "before" if score.best_step is None else str(score.best_step),
    )


def _table(title: str, columns: dict[str, int], rows: list[Row]) -> Table:
    """Table of numbers beside names, which are cut if the terminal is too narrow."""
    table = Table(box=None, pad_edge=False, padding=(0, BETWEEN, 0, 0), header_style="bold")
    table.add_column(Text(title, no_wrap=True, overflow="crop"), min_width=SHORTEST)
    for head, least in columns.items():
        table.add_column(head, justify="right", min_width=least, no_wrap=True)
    for name, *numbers in rows:
        table.add_row(Text.assemble(name, no_wrap=True, overflow="ellipsis"), *numbers)
    return table


def _left(figures: RunStatistics) -> str:
    if figures.validating:
        return "validating"
    return "" if figures.left is None else f"{clock(figures.left)} left"


def _colored(share: float | None) -> Text:
    text = change(share)
    return Text(text, COLORS.get(text[:1], ""))
