"""The ranking of trials, by outcomes worked by hand."""

from __future__ import annotations

from tests.trainers.search.searches import OUTCOMES, built_in_space, events_of, trials_of

SPACE = built_in_space("melrnn")


def test_the_best_trial_is_first_and_failed_ones_last() -> None:
    trials = trials_of(events_of(SPACE, OUTCOMES))
    assert [trial.number for trial in trials.ranked] == [4, 1, 2, 3]
    assert trials.best is trials.by_number[4]
    assert [trials.count(state) for state in ("done", "stopped", "failed")] == [2, 1, 1]
    assert trials.by_number[2].curve == [(20, 0.5), (40, 0.7)]


def test_if_all_trials_fail_there_is_no_best() -> None:
    assert trials_of(events_of(SPACE, {1: "a", 2: "b"})).best is None
