"""Statistics of a run: means, changes, step times and sparklines, against numbers by hand."""

from __future__ import annotations

import math

import pytest

from tests.trainers.example_run import ADVERSARIAL, RECIPE, STARTED, example_events, step, validated
from trainers.cli.dashboard import change, number, shown, sparkline
from trainers.cli.run_statistics import RunStatistics, StemScore, StepTimer, Trend
from trainers.loop.events import ExcerptRendered, StepDone


def example_statistics(*more: object) -> RunStatistics:
    statistics = RunStatistics(RECIPE)
    for event in [*example_events(), *more]:
        statistics.note(event)  # type: ignore[arg-type]
    return statistics


def test_means_cover_the_last_twenty_steps() -> None:
    trends = example_statistics().losses
    assert trends["waveform_l1"].mean == pytest.approx(0.01)
    assert trends["waveform_l1"].change == pytest.approx(-0.5)
    assert trends["multi_resolution_stft"].change == pytest.approx(0.1)
    assert trends["total"].change == 0


def test_a_change_needs_twice_as_many_steps() -> None:
    trend = Trend()
    for value in [1.0] * 39:
        trend.add(value)
    assert trend.change is None
    trend.add(1.0)
    assert trend.change == 0


def test_a_falling_negative_loss_has_a_negative_change() -> None:
    """An SI-SDR that rises from 5 to 6 dB is a loss that falls from -5 to -6."""
    trend = Trend()
    for value in [-5.0] * 20 + [-6.0] * 20:
        trend.add(value)
    assert trend.change == pytest.approx(-0.2)


def test_a_mean_of_zero_has_no_relative_change() -> None:
    trend = Trend()
    for value in [0.0] * 20 + [1.0] * 20:
        trend.add(value)
    assert trend.change is None


def test_step_times_leave_out_the_slow_first_steps() -> None:
    """960 steps of half a second are left; a fifth of the time is spent waiting for data."""
    statistics = example_statistics()
    assert statistics.pace.seconds == pytest.approx(0.5)
    assert statistics.pace.waiting == pytest.approx(0.2)
    assert statistics.left == pytest.approx(480)


def test_step_times_of_the_first_steps() -> None:
    timer = StepTimer()
    assert timer.left(7) is None
    timer.add(step(1))
    assert timer.left(2) == pytest.approx(120)


def test_step_times_cover_the_last_hundred_steps() -> None:
    timer = StepTimer()
    for seconds in [1.0] * 103 + [3.0] * 50:
        timer.add(StepDone(1, {}, {}, {}, seconds, 0.0))
    assert timer.seconds == pytest.approx(2.0)


def test_scores_of_a_stem_by_hand() -> None:
    statistics = example_statistics(validated(60, 1.2, best=False, best_mean=1.5))
    vocals = statistics.stems["vocals"]
    assert (vocals.last, vocals.best, vocals.best_step) == (1.2, 1.5, 40)
    assert vocals.change == pytest.approx(-0.3)
    assert statistics.history == [1.0, 1.5, 1.2]


def test_any_number_is_better_than_nan() -> None:
    vocals = StemScore(math.nan, math.nan, 20)
    for sdr, number_of_steps in ((-math.inf, 40), (1.0, 60), (math.nan, 80)):
        vocals.move(sdr, number_of_steps)
    assert (vocals.best, vocals.best_step) == (1.0, 60)


def test_a_resumed_run_knows_its_best_score_but_not_its_step() -> None:
    statistics = RunStatistics(RECIPE)
    statistics.note(ADVERSARIAL)
    assert statistics.step == 400
    statistics.note(validated(420, 2.0, 4.0, best=False, best_mean=3.5))
    assert statistics.mean
    assert (statistics.mean.last, statistics.mean.best, statistics.mean.best_step) == (
        3.0,
        3.5,
        None,
    )
    statistics.note(validated(440, 3.0, 5.0, best=True, best_mean=4.0))
    assert (statistics.mean.change, statistics.mean.best, statistics.mean.best_step) == (
        1.0,
        4.0,
        440,
    )


def test_endless_data_has_no_epochs() -> None:
    assert example_statistics().epoch == 0.4
    endless = RunStatistics(RECIPE)
    endless.note(ADVERSARIAL)
    assert endless.epoch is None


def test_validating_from_a_due_step_to_its_scores() -> None:
    statistics = RunStatistics(RECIPE)
    statistics.note(STARTED)
    due = []
    for event in (step(19), step(20), validated(20, 1.0, best=True, best_mean=1.0), step(1000)):
        statistics.note(event)
        due.append(statistics.validating)
    assert due == [False, True, False, True]
    not_validated = RunStatistics(RECIPE)
    not_validated.note(step(20))
    assert not not_validated.validating


def test_excerpts_change_no_statistics() -> None:
    before = example_statistics()
    after = example_statistics(ExcerptRendered(40, "song", 8000, {}, {}))
    assert (after.step, after.history) == (before.step, before.history)


def test_total_comes_last_and_stems_only_if_verbose() -> None:
    names = ["total", "a", "a/vocals", "b"]
    assert shown(names, verbose=False) == ["a", "b", "total"]
    assert shown(names, verbose=True) == ["a", "a/vocals", "b", "total"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (0.04567, "0.0457"),
        (0.000012, "1.2e-05"),
        (12.345, "12.35"),
        (-3.0, "-3.0000"),
        (123456.0, "1.2e+05"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
    assert len(text) <= 8


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (0.004, "→ 0 %"),
        (-0.03, "↓ 3 %"),
        (0.25, "↑ 25 %"),
        (7.0, "↑>99 %"),
    ],
)
def test_changes_are_arrows(share: float | None, text: str) -> None:
    assert change(share) == text


def test_sparklines_go_from_the_lowest_to_the_highest() -> None:
    """Eight blocks for eight even steps; only the last values count."""
    assert sparkline([float(n) for n in range(8)], 20) == "▁▂▃▄▅▆▇█"
    assert sparkline([100.0, 1.0, 2.0], 2) == "▁█"
    assert sparkline([3.0, 3.0], 5) == "▁▁"
    assert sparkline([math.nan, 1.0, -math.inf, 2.0], 5) == "▁█"
    assert sparkline([], 5) == ""
