"""Decisions of a search, without training.

Reference: the uninterrupted search, and the rule of ASHA worked by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState, create_trial

from stemcli.engine.events import Event
from tests.trainers.search.searches import plan_of
from trainers.cluster.study import SearchStudy, StudyScheduler, distribution
from trainers.search.journal import open_storage, open_study, read_trials
from trainers.search.plan import STUDY_LOG, Plan, Rungs
from trainers.search.trials import Trial, TrialEnded, TrialProposed

RUNGS = Rungs(grace=20, factor=2, steps=100)
PLAN = plan_of(trials=12)
SPACE = PLAN.bound_space()


def ignore(event: Event) -> None:
    """Ignore events, in tests that look at the trials."""


def open_search(
    folder: Path, report: Callable[[Event], None] = ignore, plan: Plan = PLAN
) -> SearchStudy:
    return SearchStudy(folder, plan, SPACE, RUNGS, report)


def quality(trial: Trial) -> float:
    """A score that depends on the parameters, with its maximum inside the space."""
    rate = math.log(float(trial.params["lr"]))
    return 5 - rate**2 + 0.3 * trial.params["num_layers"]


def run_trial(search: SearchStudy, trial: Trial) -> Iterator[int]:
    """Run a trial from its last validation until it ends."""
    search.started(trial.number, 1000, trial.step)
    for done in range(trial.step + 20, 120, 20):
        best = quality(trial) * (1 - 0.5 ** (done / 20))
        if search.validated(trial.number, done, best, best, float(done)):
            return
        yield done
    search.ended(trial.number, "done", "all steps are done")


def run_search(search: SearchStudy) -> None:
    """Run the trials of a search one after the other."""
    while trial := search.next():
        assert all(run_trial(search, trial))


def run_search_in_pairs(search: SearchStudy) -> None:
    """Run two trials at a time, one validation each in turn."""
    running: list[Iterator[int]] = []
    while True:
        while len(running) < 2 and (trial := search.next()):
            running.append(run_trial(search, trial))
        if not running:
            return
        current = running.pop(0)
        if next(current, None):
            running.append(current)


def run_uninterrupted(plan: Plan = PLAN) -> tuple[list[Event], list[Trial], list[bytes]]:
    """Events, trials and journal of an uninterrupted search."""
    events: list[Event] = []
    with TemporaryDirectory() as name:
        run_search(open_search(Path(name), events.append, plan))
        lines = (Path(name) / STUDY_LOG).read_bytes().splitlines(keepends=True)
        return events, [*read_trials(Path(name), "SDR")], lines


EVENTS, TRIALS, LINES = run_uninterrupted()


def without_times(trials: list[Trial]) -> list[Trial]:
    """Trials without their time, which grows when steps are repeated."""
    return [replace(trial, seconds=0.0) for trial in trials]


def test_the_base_recipe_comes_first() -> None:
    first = EVENTS[0]
    assert isinstance(first, TrialProposed)
    assert first.params == SPACE.base_params


def test_the_same_seed_proposes_the_same_trials() -> None:
    assert run_uninterrupted()[:2] == (EVENTS, TRIALS)


def test_another_seed_proposes_other_trials() -> None:
    events, _, _ = run_uninterrupted(replace(PLAN, seed=4))
    assert events[0] == EVENTS[0]
    assert events[1:] != EVENTS[1:]


def test_some_trials_are_stopped_and_some_are_not() -> None:
    """Otherwise the tests below would show little."""
    assert {trial.state for trial in TRIALS} == {"done", "stopped"}
    assert len({tuple(trial.params.items()) for trial in TRIALS}) == len(TRIALS)


def test_the_journal_matches_the_events() -> None:
    ended = [(e.number, e.how, e.reason) for e in EVENTS if isinstance(e, TrialEnded)]
    assert ended == [(trial.number, trial.state, trial.reason) for trial in TRIALS]
    proposed = [(e.number, e.params, e.values, e.shown) for e in EVENTS if type(e) is TrialProposed]
    assert proposed == [(t.number, t.params, t.values, t.shown) for t in TRIALS]


def test_later_proposals_are_better(tmp_path: Path) -> None:
    """Rates drawn uniformly in log within a factor of 5 would have a mean error of 0.8."""
    search = open_search(tmp_path, plan=replace(PLAN, trials=40))
    run_search(search)
    rates = [float(trial.params["lr"]) for trial in search.trials]
    assert sum(abs(math.log(rate)) for rate in rates[-15:]) / 15 < 0.55


DECISIVE = {
    number + 1
    for number, line in enumerate(LINES)
    if b"completed_rung" in line or b'"state":2' in line or b"intermediate_value" in line
}
"""Line counts of the journal right after a score, a rung or a stopped trial."""


@pytest.mark.parametrize("line_count", sorted({*range(0, len(LINES), 5), *sorted(DECISIVE)[::4]}))
def test_a_killed_search_resumes_as_if_uninterrupted(line_count: int, tmp_path: Path) -> None:
    (tmp_path / STUDY_LOG).write_bytes(b"".join(LINES[:line_count]))
    run_search(open_search(tmp_path))
    assert without_times([*read_trials(tmp_path, "SDR")]) == without_times(TRIALS)


@pytest.mark.slow
def test_a_search_killed_after_any_line_resumes_as_if_uninterrupted(tmp_path: Path) -> None:
    for line_count, line in enumerate(LINES):
        (tmp_path / STUDY_LOG).write_bytes(b"".join(LINES[:line_count]) + line[: len(line) // 2])
        run_search(open_search(tmp_path))
        assert without_times([*read_trials(tmp_path, "SDR")]) == without_times(TRIALS), line_count


def test_a_search_killed_at_every_fifth_event(tmp_path: Path) -> None:
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if len(events) % 5 == 0:
            raise KeyboardInterrupt

    for _ in range(len(EVENTS)):
        try:
            run_search(open_search(tmp_path, report))
        except KeyboardInterrupt:
            continue
        break
    for kind in (TrialProposed, TrialEnded):
        assert [e for e in events if type(e) is kind] == [e for e in EVENTS if type(e) is kind]
    assert without_times([*read_trials(tmp_path, "SDR")]) == without_times(TRIALS)


def test_trials_that_ran_in_parallel_are_all_resumed(tmp_path: Path) -> None:
    path = tmp_path / STUDY_LOG
    run_search_in_pairs(open_search(tmp_path))
    lines = path.read_bytes().splitlines(keepends=True)
    trials = [*read_trials(tmp_path, "SDR")]
    for line_count in range(1, len(lines), 11):
        path.write_bytes(b"".join(lines[:line_count]))
        before = [*read_trials(tmp_path, "SDR")]
        search = open_search(tmp_path)
        run_search_in_pairs(search)
        after = [*search.trials]
        assert [trial.number for trial in after] == [trial.number for trial in trials]
        assert all(trial.is_over for trial in after)
        for old, new in zip(before, after, strict=False):
            assert old.params == new.params
            assert old.curve == new.curve[: len(old.curve)]
            assert old.state == new.state or not old.is_over


def test_bad_trials_are_stopped_at_a_rung_as_asha_says(tmp_path: Path) -> None:
    """Half of the trials continue: after a result of 5, 4 is in the worse half and 6 is not."""
    search = open_search(tmp_path)
    numbers = [trial.number for trial in (search.next(), search.next(), search.next()) if trial]
    is_stopped = [
        search.validated(number, 20, sdr, sdr, 1.0)
        for number, sdr in zip(numbers, (5.0, 4.0, 6.0), strict=True)
    ]
    assert is_stopped == [False, True, False]
    assert search.trials.by_number[2].reason == "stopped by ASHA after 20 steps"


def test_nothing_is_stopped_between_two_rungs(tmp_path: Path) -> None:
    """Rungs are 20, 40 and 80; the first trial is the worse one after 40 steps."""
    search = open_search(tmp_path)
    for number, scores in ((1, (5.0, 6.0)), (2, (5.5, 7.0))):
        assert search.next()
        for step, sdr in zip((20, 40), scores, strict=True):
            assert not search.validated(number, step, sdr, sdr, 1.0)
    assert not search.validated(1, 60, 6.0, 6.0, 1.0)
    assert not search.validated(2, 80, 7.0, 7.0, 1.0)
    assert search.validated(1, 80, 6.0, 6.0, 1.0)


def test_the_last_step_stops_no_trial(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    for sdr in (5.0, 4.0):
        trial = search.next()
        assert trial
        assert not search.validated(trial.number, 100, sdr, sdr, 1.0)


def test_repeated_reports_count_once(tmp_path: Path) -> None:
    events: list[Event] = []
    search = open_search(tmp_path, events.append)
    search.next()
    for _ in range(2):
        search.started(1, 10, 0)
        search.validated(1, 20, 3.0, 3.0, 5.0)
    assert [type(event).__name__ for event in events] == [
        "TrialProposed",
        "TrialStarted",
        "TrialValidated",
        "TrialStarted",
    ]
    search.validated(1, 40, 3.5, 3.5, 5.0)
    assert search.trials.by_number[1].seconds == 10.0
    assert search.trials.by_number[1].parameters == 10


def test_a_failed_trial_is_over_and_has_no_score(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    search.next()
    search.ended(1, "failed", "A gradient is not finite")
    search.ended(1, "done", "too late")
    (failed,) = search.trials
    assert (failed.state, failed.reason) == ("failed", "A gradient is not finite")
    assert search.next() == search.trials.by_number[2]
    assert open_search(tmp_path).trials.best is None


def test_a_trial_may_fail_after_validations(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    search.next()
    search.validated(1, 20, 3.0, 3.0, 5.0)
    search.ended(1, "failed", "its process ended")
    (failed,) = read_trials(tmp_path, "SDR")
    assert (failed.state, failed.curve) == ("failed", [(20, 3.0)])
    search.started(1, 10, 20)
    assert search.validated(1, 40, 4.0, 4.0, 5.0), "it has to stop"
    assert [*read_trials(tmp_path, "SDR")] == [failed]


@dataclass(frozen=True)
class LostTrial:
    """Fakes the methods of a Ray Tune trial that the scheduler calls."""

    config: dict[str, int]
    is_retried: bool

    def should_recover(self) -> bool:
        return self.is_retried

    def get_pickled_error(self) -> Exception:
        return RuntimeError("The worker died.\nMore.")


def test_only_a_trial_that_ray_does_not_restart_has_failed(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    search.next()
    scheduler = StudyScheduler(search)
    scheduler.on_trial_error(None, LostTrial({"number": 1}, is_retried=True))
    assert search.trials.by_number[1].state == "waiting"
    scheduler.on_trial_error(None, LostTrial({"number": 1}, is_retried=False))
    (failed,) = search.trials
    assert failed.state == "failed"
    assert "(The worker died)" in failed.reason


def test_a_trial_without_any_validation_has_failed(tmp_path: Path) -> None:
    search = open_search(tmp_path)
    search.next()
    search.ended(1, "done", "all steps are done")
    (failed,) = search.trials
    assert (failed.state, failed.reason) == ("failed", "it ended without a validation")


def test_proposals_of_another_optuna_version_are_kept(tmp_path: Path) -> None:
    """As after a change of Optuna's version: the trial counts, and the search resumes."""
    params = {**TRIALS[0].params, "lr": 0.5}
    changes = SPACE.changes(params)
    open_study(open_storage(tmp_path), NopPruner()).add_trial(
        create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions={one.name: distribution(one) for one in SPACE.dimensions},
            user_attrs={"values": changes, "shown": SPACE.shown(changes)},
        )
    )
    search = open_search(tmp_path)
    run_search(search)
    assert search.trials.by_number[1].params == params
    assert search.trials.over == PLAN.trials


def test_more_trials_can_be_added_later(tmp_path: Path) -> None:
    (tmp_path / STUDY_LOG).write_bytes(b"".join(LINES))
    assert open_search(tmp_path).next() is None
    search = open_search(tmp_path, plan=replace(PLAN, trials=PLAN.trials + 1))
    trial = search.next()
    assert trial
    assert trial.number == PLAN.trials + 1
    assert search.next() is None


def test_optuna_can_open_the_journal_directly(tmp_path: Path) -> None:
    """Optuna's dashboard and the user's own programs do so."""
    (tmp_path / STUDY_LOG).write_bytes(b"".join(LINES))
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / STUDY_LOG))
    study = optuna.load_study(study_name="search", storage=optuna.storages.JournalStorage(backend))
    best = max((trial for trial in TRIALS if trial.state == "done"), key=lambda t: t.sdr or 0)
    assert study.best_value == best.sdr
    assert study.best_params == best.params
