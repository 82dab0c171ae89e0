"""What a search decides, without anything being trained.

Truth: a search that was interrupted must go on as one that was not; ASHA's rule worked by hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from stemcli.engine.events import Event
from tests.trainers.search.searches import plan_of
from trainers.cluster.tuning.study import Study
from trainers.search.plan import Plan, Rungs
from trainers.search.trials import KINDS, Trial, TrialEnded, TrialProposed

RUNGS = Rungs(grace=20, factor=2, steps=100)
PLAN = plan_of(trials=12)
SPACE = PLAN.bound_space()


def study(heard: list[Event], tell: Callable[[Event], None], plan: Plan = PLAN) -> Study:
    return Study(plan, SPACE, RUNGS, heard, tell)


def quality(trial: Trial) -> float:
    """A score that depends on what is drawn, with its best inside of the space."""
    rate = math.log(float(trial.params["lr"]))
    return 5 - rate**2 + 0.3 * trial.params["num_layers"]


def step(search: Study, trial: Trial, after: int = 0) -> None:
    """Let a trial learn until it ends."""
    search.started(trial.number, 1000, after)
    for done in range(after + 20, 120, 20):
        best = quality(trial) * (1 - 0.5 ** (done / 20))
        if search.validated(trial.number, done, best, best, float(done)):
            return
    search.ended(trial.number, "done", "all steps are done")


def whole() -> list[Event]:
    """All that a search tells which nothing interrupts."""
    told: list[Event] = []
    search = study([], told.append)
    while trial := search.next():
        step(search, trial)
    return told


WHOLE = whole()


def through_json(events: list[Event]) -> list[Event]:
    lines = [json.dumps(event.to_dict()) for event in events]
    values = [json.loads(line) for line in lines]
    return [KINDS[value.pop("event")](**value) for value in values]


def test_the_recipe_itself_comes_first() -> None:
    first = WHOLE[0]
    assert isinstance(first, TrialProposed)
    assert first.params == SPACE.base_params


def test_the_same_seed_proposes_the_same() -> None:
    assert whole() == WHOLE


def test_another_seed_proposes_others() -> None:
    told: list[Event] = []
    search = study([], told.append, replace(PLAN, seed=4))
    while trial := search.next():
        step(search, trial)
    assert told[0] == WHOLE[0]
    assert told[1:] != WHOLE[1:]


def test_it_learns_what_is_good() -> None:
    """Rates drawn evenly within a factor of five are off by 0.8 on the mean of their logarithm."""
    told: list[Event] = []
    search = study([], told.append, replace(PLAN, trials=40))
    while trial := search.next():
        step(search, trial)
    rates = [float(event.params["lr"]) for event in told if isinstance(event, TrialProposed)]
    assert sum(abs(math.log(rate)) for rate in rates[-15:]) / 15 < 0.55


@pytest.mark.parametrize("kept", range(0, len(WHOLE), 5))
def test_a_search_that_was_killed_goes_on_as_if_it_was_not(kept: int) -> None:
    told = WHOLE[:kept]
    search = study(through_json(told), told.append)
    while trial := search.next():
        step(search, trial, after=trial.step)
    numbers = [event.number for event in told if isinstance(event, TrialProposed)]
    assert numbers == [*range(1, PLAN.trials + 1)]
    for kind in (TrialProposed, TrialEnded):
        assert [e for e in told if type(e) is kind] == [e for e in WHOLE if type(e) is kind]


def test_bad_trials_are_stopped_at_a_rung_as_asha_says() -> None:
    """Half goes on: with one result of 5 known, 4 is below the median and 6 is not."""
    search = study([], lambda event: None)
    numbers = [trial.number for trial in (search.next(), search.next(), search.next()) if trial]
    verdicts = [
        search.validated(number, 20, sdr, sdr, 1.0)
        for number, sdr in zip(numbers, (5.0, 4.0, 6.0), strict=True)
    ]
    assert verdicts == [False, True, False]
    assert search.trials.by_number[2].reason == "stopped by ASHA after 20 steps"


def test_the_last_step_stops_nobody() -> None:
    search = study([], lambda event: None)
    for sdr in (5.0, 4.0):
        trial = search.next()
        assert trial
        assert not search.validated(trial.number, 100, sdr, sdr, 1.0)


def test_what_is_heard_twice_counts_once() -> None:
    told: list[Event] = []
    search = study([], told.append)
    search.next()
    for _ in range(2):
        search.started(1, 10, 0)
        search.validated(1, 20, 3.0, 3.0, 5.0)
    assert [type(event).__name__ for event in told] == [
        "TrialProposed",
        "TrialStarted",
        "TrialValidated",
        "TrialStarted",
    ]
    search.validated(1, 40, 3.5, 3.5, 5.0)
    assert search.trials.by_number[1].seconds == 10.0


def test_a_trial_that_failed_is_over_and_teaches_nothing() -> None:
    told: list[Event] = []
    search = study([], told.append)
    search.next()
    search.ended(1, "failed", "A gradient is not finite")
    search.ended(1, "done", "too late")
    assert search.trials.by_number[1].state == "failed"
    assert search.next() == search.trials.by_number[2]
    assert study(told, lambda event: None).trials.best is None


def test_proposals_that_optuna_would_not_make_again_are_kept() -> None:
    """As after another version of Optuna: what was run counts, and the search goes on."""
    first, *rest = WHOLE[:6]
    assert isinstance(first, TrialProposed)
    raws = {**first.params, "lr": 0.5}
    foreign = TrialProposed(1, raws, SPACE.changes(raws), first.shown)
    told: list[Event] = [foreign, *rest]
    search = study(told, told.append)
    assert search.trials.by_number[1].params == raws
    while trial := search.next():
        step(search, trial, after=trial.step)
    assert search.trials.over == PLAN.trials


def test_more_trials_can_be_asked_for_later() -> None:
    search = study([*WHOLE], lambda event: None, replace(PLAN, trials=PLAN.trials + 1))
    trial = search.next()
    assert trial
    assert trial.number == PLAN.trials + 1
    assert search.next() is None
