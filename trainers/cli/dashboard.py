"""The numbers a person wants to see of a run, from the events it tells; nothing here draws."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stemcli.engine.events import Event
from trainers.config import Recipe
from trainers.loop.events import RunStarted, StepDone, Validated

RECENT = 20  # steps that a mean is taken over, and again as many that it is compared with
PACE_STEPS = 100  # steps that the time left is told from
SLOW_STEPS = 3  # of the beginning: caches are cold, blocks are compiled
BLOCKS = "▁▂▃▄▅▆▇█"
MOST_SHOWN = 0.99  # a change that is larger says no more


@dataclass
class Trend:
    """The mean of something over the last steps, and how it changed."""

    values: deque[float] = field(default_factory=lambda: deque(maxlen=2 * RECENT))

    def add(self, value: float) -> None:
        """One more step."""
        self.values.append(value)

    @property
    def mean(self) -> float:
        """Over the last 20 steps."""
        return mean([*self.values][-RECENT:])

    @property
    def change(self) -> float | None:
        """Relative to the mean over the 20 steps before; None until there are so many."""
        if len(self.values) < 2 * RECENT:
            return None
        before = mean([*self.values][:RECENT])
        return (self.mean - before) / abs(before) if before else None


class StepTimer:
    """How long a step takes: the mean over the last 100, but the first three of a run.

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
        """Of one step; NaN before the first."""
        return mean([step.seconds for step in self._counted])

    @property
    def waiting(self) -> float:
        """Share of the time that is spent waiting for data, from 0 to 1."""
        seconds = sum(step.seconds for step in self._counted)
        return sum(step.waited for step in self._counted) / seconds if seconds > 0 else 0.0

    def left(self, steps: int) -> float | None:
        """Seconds that so many further steps take; None while nobody can tell."""
        return None if math.isnan(self.seconds) else self.seconds * steps


@dataclass
class StemScore:
    """How well one stem, or the mean of all, is done.

    Attributes:
        last: score of the last validation.
        best: the highest.
        best_step: steps after which it was reached; None for a step of an earlier start of the run.
        change: from the validation before to the last; None at the first.
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
    """All that was told of a run so far.

    Attributes:
        recipe: of the run.
        started: the facts; None before they are known.
        step: steps done.
        pace: how long a step takes.
        losses, gradients: trends by name.
        rates: the last learning rates by name.
        stems: standings by stem.
        mean: that of the mean over the stems; None before the first validation.
        history: mean score of every validation.
        validating: whether a validation is due or going on.
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
        self._judged: list[int] = []
        self.validating = False

    def note(self, event: Event) -> None:
        """Take in what the loop tells."""
        match event:
            case RunStarted():
                self._note_start(event)
            case StepDone():
                self._note_step(event)
            case Validated():
                self._note_validation(event)

    def _note_start(self, event: RunStarted) -> None:
        self.started, self.step = event, event.first_step
        # A crew that goes on from a checkpoint does again what came after it.
        done = sum(step <= event.first_step for step in self._judged)
        del self._judged[done:], self.history[done:]

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
        self._judged.append(event.step)
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
        """Of the whole run."""
        return self.started.steps if self.started else self.recipe.schedule.steps

    @property
    def score(self) -> tuple[str, str]:
        """The word for what validations measure, and its unit."""
        return (self.started.score, self.started.unit) if self.started else ("SDR", "dB")

    @property
    def validates(self) -> bool:
        """Whether there are songs to validate with."""
        return bool(self.started and self.started.validation_songs)

    @property
    def epoch(self) -> float | None:
        """How often the data was drawn; None where that means nothing."""
        size = self.started.steps_per_epoch if self.started else 0.0
        return self.step / size if size > 0 and math.isfinite(size) else None

    @property
    def left(self) -> float | None:
        """Seconds of training that are left, without validations."""
        return self.pace.left(max(0, self.steps - self.step))


def mean(values: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def shown(names: Iterable[str], verbose: bool) -> list[str]:
    """Names of losses, the total last; those of single stems only for whoever wants them."""
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
    """``↓ 3 %``; empty where nothing is known."""
    if share is None or math.isnan(share):
        return ""
    moved = min(abs(share), MOST_SHOWN)
    arrow = "→" if round(100 * moved) == 0 else "↑" if share > 0 else "↓"
    return f"{arrow}{'>' if abs(share) > MOST_SHOWN else ' '}{percent(moved)}"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last ``width`` values as blocks from the lowest to the highest of them."""
    recent = [value for value in values if math.isfinite(value)][-width:]
    if not recent:
        return ""
    low, span = min(recent), max(recent) - min(recent)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round((value - low) / span * top) if span else 0] for value in recent)
