"""What decides in a search: Optuna proposes, ASHA stops, the journal remembers.

Nothing here knows where trials run. A search goes on after it was killed by hearing its journal
again: Optuna and ASHA come to the same state as before, random numbers included.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from stemcli.engine.events import Event
from trainers.search.parameters import Dimension, Listed
from trainers.search.plan import Plan, Rungs
from trainers.search.space import Space
from trainers.search.trials import (
    How,
    Listener,
    Trial,
    TrialEnded,
    TrialProposed,
    Trials,
    TrialStarted,
    TrialValidated,
)

SDR = "sdr"
STEP = "step"
ITERATION = "training_iteration"
"""What Optuna's side of Ray Tune calls the time."""


@dataclass(frozen=True)
class Named:
    """All that ASHA looks at in a trial."""

    trial_id: str


class Study:
    """Proposes trials, hears of them, and says which have to stop.

    Args:
        plan: what is searched.
        space: its hyperparameters.
        rungs: when trials are compared.
        heard: what an earlier start of the search told, in order.
        tell: hears every event that is new, before anything follows from it.
    """

    def __init__(
        self, plan: Plan, space: Space, rungs: Rungs, heard: Iterable[Event], tell: Listener
    ) -> None:
        self.trials = Trials(plan.score)
        self._plan, self._space, self._rungs = plan, space, rungs
        self._optuna = _optuna_search(plan, space)
        self._asha = ASHAScheduler(
            time_attr=STEP,
            metric=SDR,
            mode="max",
            max_t=rungs.steps,
            grace_period=rungs.grace,
            reduction_factor=rungs.factor,
            stop_last_trials=False,
        )
        self._foreign: set[int] = set()
        self._condemned: dict[int, int] = {}
        self._tell: Listener = lambda event: None
        self._seconds_before: dict[int, float] = {}
        for event in heard:
            self._hear_again(event)
        self.trials.interrupt()
        self._tell = tell
        self._carry_out()
        self._waiting = [trial for trial in self.trials if not trial.is_over]

    def __deepcopy__(self, memo: object) -> Study:
        """Itself: Ray Tune copies what it is given, and there is one memory of a search."""
        return self

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Nothing of it: Ray Tune writes down what it is given and need not read it again."""
        return object, ()

    def next(self) -> Trial | None:
        """The next trial to run: first those that were interrupted; None when there is none."""
        if self._waiting:
            return self._waiting.pop(0)
        number = len(self.trials) + 1
        if number > self._plan.trials:
            return None
        raws = self._propose(number)
        changes = self._space.changes(raws)
        self._note(TrialProposed(number, raws, changes, self._space.shown(changes)))
        return self.trials.by_number[number]

    def started(self, number: int, parameters: int, step: int) -> None:
        """A trial takes its first step, or goes on."""
        self._seconds_before[number] = self.trials.by_number[number].seconds
        self._note(TrialStarted(number, parameters, step))

    def validated(self, number: int, step: int, sdr: float, best: float, seconds: float) -> bool:
        """A trial was validated; returns whether it has to stop.

        Args:
            number: of the trial.
            step: steps done.
            sdr: mean SDR in dB.
            best: the best of the trial so far.
            seconds: since it was started last.
        """
        if self.trials.by_number[number].is_over or not self.trials.is_news(number, step):
            return False
        total = self._seconds_before.get(number, 0.0) + seconds
        self._note(TrialValidated(number, step, sdr, best, total))
        stops = self._judge(number, step, best)
        if stops:
            self._stop(number, step)
        return stops

    def ended(self, number: int, how: How, reason: str) -> None:
        """A trial is over; what is heard of it later does not count."""
        if self.trials.by_number[number].is_over:
            return
        self._note(TrialEnded(number, how, reason))
        self._conclude(number)

    def _stop(self, number: int, step: int) -> None:
        self.ended(number, "stopped", f"stopped by ASHA after {step} steps")

    def _carry_out(self) -> None:
        """Stop what ASHA had stopped when the search was killed, before that was written down."""
        for number, step in self._condemned.items():
            self._stop(number, step)

    def _note(self, event: Event) -> None:
        self._tell(event)
        self.trials.note(event)

    def _hear_again(self, event: Event) -> None:
        """Let Optuna and ASHA hear what they heard before."""
        if isinstance(event, TrialProposed):
            if self._propose(event.number) != event.params:  # another version of Optuna
                self._foreign.add(event.number)
            self._note(event)
        elif isinstance(event, TrialValidated):
            self._note(event)
            if self._judge(event.number, event.step, event.best):
                self._condemned[event.number] = event.step
        else:
            self._note(event)
            if isinstance(event, TrialEnded):
                self._conclude(event.number)

    def _propose(self, number: int) -> dict[str, int | float]:
        with _quiet():
            raws = self._optuna.suggest(str(number))
        assert isinstance(raws, dict), "its space is a mapping"
        self._asha.on_trial_add(_no_controller(), _named(number))
        return raws

    def _judge(self, number: int, step: int, best: float) -> bool:
        """Tell both of a validation; returns whether ASHA stops the trial."""
        if number not in self._foreign:
            self._optuna.on_trial_result(str(number), {SDR: best, ITERATION: step})
        verdict = self._asha.on_trial_result(
            _no_controller(), _named(number), {SDR: best, STEP: step}
        )
        return verdict == TrialScheduler.STOP and step < self._rungs.steps

    def _conclude(self, number: int) -> None:
        """Let Optuna learn from a trial; one that failed teaches nothing."""
        trial = self.trials.by_number[number]
        scored = trial.state != "failed" and trial.sdr is not None
        result = {SDR: trial.sdr} if scored else None
        with _quiet():
            if number not in self._foreign:
                self._optuna.on_trial_complete(str(number), result, error=not scored)
                return
            self._optuna.on_trial_complete(str(number), None, error=True)
            if trial.sdr is not None and scored:
                self._optuna.add_evaluated_point(trial.params, trial.sdr)


def _optuna_search(plan: Plan, space: Space) -> OptunaSearch:
    """TPE over the raw values; the recipe itself is tried first, where the space contains it."""
    base = space.base_params
    with _quiet():
        sampler = optuna.samplers.TPESampler(seed=plan.seed, n_startup_trials=plan.startup)
        return OptunaSearch(
            {one.name: _distribution(one) for one in space.dimensions},
            metric=SDR,
            mode="max",
            sampler=sampler,
            points_to_evaluate=[base] if base else None,
        )


def _distribution(one: Dimension) -> BaseDistribution:
    if isinstance(one, Listed):
        count = len(one.options)
        if one.ordered:
            return IntDistribution(0, count - 1)
        return optuna.distributions.CategoricalDistribution([*range(count)])
    low, high = one.domain.bounds
    return FloatDistribution(low, high, log=one.domain.log)


def _named(number: int) -> Any:
    return Named(str(number))


def _no_controller() -> Any:
    """ASHA takes the one who runs trials and does not look at it."""
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells every step it takes, and what it makes of our values."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            yield
    finally:
        optuna.logging.set_verbosity(before)
