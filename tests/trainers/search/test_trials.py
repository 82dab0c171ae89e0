"""The ranking of trials. Truth: fates by hand."""

from __future__ import annotations

from tests.trainers.search.searches import FATES, events_of, own_space, trials_of

SPACE = own_space("melrnn")


def test_the_best_comes_first_and_what_failed_last() -> None:
    trials = trials_of(events_of(SPACE, FATES))
    assert [trial.number for trial in trials.ranked] == [4, 1, 2, 3]
    assert trials.best is trials.by_number[4]
    assert [trials.count(state) for state in ("done", "stopped", "failed")] == [2, 1, 1]
    assert trials.by_number[2].curve == [(20, 0.5), (40, 0.7)]


def test_where_all_failed_nothing_is_best() -> None:
    assert trials_of(events_of(SPACE, {1: "a", 2: "b"})).best is None
