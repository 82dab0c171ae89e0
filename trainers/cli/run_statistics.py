"""Statistics of a run from its events: losses, gradients, validation scores, speed and stage."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from stemcli.engine.events import Event
from trainers.config import Recipe
from trainers.loop.events import RunFinished, RunStarted, StageProgress, StepDone, Validated

RECENT = 20  # steps in a mean, which is compared with that of the 20 steps before
PACE_STEPS = 100  # steps from which the time left is estimated
SLOW_STEPS = 3  # first steps, with cold caches and compilation


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
        stage: what runs between two steps; None while a step is computed.
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
        self.stage: StageProgress | None = None

    def note(self, event: Event) -> None:
        """Update from an event of the loop."""
        match event:
            case RunStarted():
                self._note_start(event)
            case StepDone():
                self._note_step(event)
            case Validated():
                self._note_validation(event)
            case StageProgress():
                self.stage = None if event.stage == "training" else event
            case RunFinished():
                self.stage = None

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
        self.stage = StageProgress(event.step, "validating") if due and self.validates else None

    def _note_validation(self, event: Validated) -> None:
        self.stage = None
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
    def validating(self) -> bool:
        """Whether a validation is due or running."""
        return self.stage is not None and self.stage.stage == "validating"

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
