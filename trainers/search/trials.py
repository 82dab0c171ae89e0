"""Events of a search, and the state of each trial.

The order of one trial is ``TrialProposed``, then ``TrialStarted`` whenever it begins or resumes,
``TrialValidated`` for every validation, and one ``TrialEnded``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from stemcli.engine.events import Event

How = Literal["done", "stopped", "failed"]
"""How a trial ends: it took all steps; ASHA stopped it; it could not continue."""


@dataclass(frozen=True)
class SearchStarted(Event):
    """A search begins or resumes.

    Attributes:
        architecture: architecture whose hyperparameters are searched.
        recipe: name of the recipe that is varied.
        varied: names of the hyperparameters.
        trials: number of trials in all.
        over: trials that ended before the search was interrupted.
        at_once: trials that run in parallel.
        cores: cores per worker; with a GPU they only load data.
        gpus: GPUs per worker.
        steps: steps of a complete trial.
        rungs: steps after which bad trials are stopped.
        data: description of the training data, in lines.
        left_out: hyperparameters that do not apply to this recipe, and why.
        workers: workers per trial.
    """

    architecture: str
    recipe: str
    varied: tuple[str, ...]
    trials: int
    over: int
    at_once: int
    cores: int
    gpus: int
    steps: int
    rungs: tuple[int, ...]
    data: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    workers: int = 1


@dataclass(frozen=True)
class TrialProposed(Event):
    """A trial was proposed.

    Attributes:
        number: of the trial, from 1.
        params: what Optuna drew, by hyperparameter.
        values: keys of the recipe and what they become.
        shown: values by hyperparameter, as people read them.
    """

    number: int
    params: dict[str, int | float]
    values: dict[str, Any]
    shown: dict[str, str]


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial begins or resumes.

    Attributes:
        number: of the trial.
        parameters: of its network.
        step: steps done before.
    """

    number: int
    parameters: int
    step: int


@dataclass(frozen=True)
class TrialValidated(Event):
    """A trial was scored on the validation songs.

    Attributes:
        number: of the trial.
        step: steps done.
        sdr: mean SDR in dB over stems and songs.
        best: the best of the trial so far, in dB: what is compared.
        seconds: that the trial has run, earlier starts included.
    """

    number: int
    step: int
    sdr: float
    best: float
    seconds: float


@dataclass(frozen=True)
class TrialEnded(Event):
    """A trial is over.

    Attributes:
        number: of the trial.
        how: see :data:`How`.
        reason: a sentence.
    """

    number: int
    how: How
    reason: str


@dataclass(frozen=True)
class SearchFinished(Event):
    """The search is over.

    Attributes:
        best: number of the best trial; None where all failed.
        sdr: its SDR in dB.
        counts: trials by how they ended.
        recipe: file with the recipe of the best trial; empty where all failed.
        picture: file with the picture of the search.
        seconds: of this start.
    """

    best: int | None
    sdr: float | None
    counts: dict[str, int]
    recipe: str
    picture: str
    seconds: float


State = Literal["waiting", "running"] | How


@dataclass
class Trial:
    """One set of hyperparameters and its results.

    Attributes:
        number: from 1.
        params: what Optuna drew, by hyperparameter.
        values: keys of the recipe and what they became.
        shown: values by hyperparameter, as people read them.
        state: ``waiting``, ``running``, ``done``, ``stopped`` or ``failed``.
        curve: steps and the best SDR in dB until then, one pair per validation.
        parameters: of the network; 0 before it is known.
        seconds: that it has run.
        reason: why it ended.
    """

    number: int
    params: dict[str, int | float]
    values: dict[str, Any]
    shown: dict[str, str]
    state: State = "waiting"
    curve: list[tuple[int, float]] = field(default_factory=list)
    parameters: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.number:03}"

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("done", "stopped", "failed")

    @property
    def step(self) -> int:
        """Steps done at its last validation."""
        return self.curve[-1][0] if self.curve else 0

    @property
    def sdr(self) -> float | None:
        """Best SDR in dB; None before the first validation."""
        return self.curve[-1][1] if self.curve else None


class Trials:
    """All trials of a search, by number, kept up to date by its events.

    Args:
        score: name of the score that trials are compared by, from the objective of their recipe.
        trials: those that there are already.
    """

    def __init__(self, score: str = "SDR", trials: Iterable[Trial] = ()) -> None:
        self.score = score
        self.by_number = {trial.number: trial for trial in trials}

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.by_number.values())

    def __len__(self) -> int:
        return len(self.by_number)

    def note(self, event: Event) -> None:
        """Apply an event of the search."""
        match event:
            case TrialProposed(number, params, values, shown):
                self.by_number[number] = Trial(number, dict(params), dict(values), dict(shown))
            case TrialStarted(number, parameters, _):
                trial = self.by_number[number]
                trial.state, trial.parameters = "running", parameters
            case TrialValidated(number, step, _, best, seconds):
                trial = self.by_number[number]
                trial.curve.append((step, best))
                trial.seconds = seconds
            case TrialEnded(number, how, reason):
                trial = self.by_number[number]
                trial.state, trial.reason = how, reason

    def count(self, state: State) -> int:
        """How many are in this state."""
        return sum(trial.state == state for trial in self.by_number.values())

    @property
    def over(self) -> int:
        """How many have ended."""
        return sum(trial.is_over for trial in self.by_number.values())

    @property
    def ranked(self) -> list[Trial]:
        """The best first; those that failed last, then those without any validation."""
        return sorted(self.by_number.values(), key=_rank)

    @property
    def best(self) -> Trial | None:
        """The best of those that did not fail; None without any."""
        first = self.ranked[0] if self.by_number else None
        return first if first and first.state != "failed" and first.sdr is not None else None


def _rank(trial: Trial) -> tuple[bool, float, int]:
    sdr = trial.sdr
    return trial.state == "failed", float("inf") if sdr is None else -sdr, trial.number
