"""Means, changes, pace and blocks. Truth: numbers by hand."""

from __future__ import annotations

import math

import pytest

from tests.trainers.story import ADVERSARIAL, RECIPE, STARTED, step, story, validated
from trainers.cli.dashboard import (
    RunStatistics,
    StemScore,
    StepTimer,
    Trend,
    change,
    number,
    shown,
    sparkline,
)
from trainers.loop.events import ExcerptRendered, StepDone


def told(*more: object) -> RunStatistics:
    figures = RunStatistics(RECIPE)
    for event in [*story(), *more]:
        figures.note(event)  # type: ignore[arg-type]
    return figures


def test_means_are_of_the_last_twenty_steps() -> None:
    trends = told().losses
    assert trends["waveform_l1"].mean == pytest.approx(0.01)
    assert trends["waveform_l1"].change == pytest.approx(-0.5)
    assert trends["multi_resolution_stft"].change == pytest.approx(0.1)
    assert trends["total"].change == 0


def test_a_change_needs_as_many_steps_before() -> None:
    trend = Trend()
    for value in [1.0] * 39:
        trend.add(value)
    assert trend.change is None
    trend.add(1.0)
    assert trend.change == 0


def test_a_negative_loss_that_falls_falls() -> None:
    """An SI-SDR of 5 dB becomes one of 6 dB: the loss goes from -5 to -6."""
    trend = Trend()
    for value in [-5.0] * 20 + [-6.0] * 20:
        trend.add(value)
    assert trend.change == pytest.approx(-0.2)


def test_nothing_changes_relative_to_zero() -> None:
    trend = Trend()
    for value in [0.0] * 20 + [1.0] * 20:
        trend.add(value)
    assert trend.change is None


def test_the_pace_forgets_the_slow_first_steps() -> None:
    """960 steps of half a second; a fifth of it is spent waiting."""
    figures = told()
    assert figures.pace.seconds == pytest.approx(0.5)
    assert figures.pace.waiting == pytest.approx(0.2)
    assert figures.left == pytest.approx(480)


def test_the_pace_before_it_can_forget() -> None:
    pace = StepTimer()
    assert pace.left(7) is None
    pace.add(step(1))
    assert pace.left(2) == pytest.approx(120)


def test_the_pace_is_that_of_the_last_hundred_steps() -> None:
    pace = StepTimer()
    for seconds in [1.0] * 103 + [3.0] * 50:
        pace.add(StepDone(1, {}, {}, {}, seconds, 0.0))
    assert pace.seconds == pytest.approx(2.0)


def test_standings_by_hand() -> None:
    figures = told(validated(60, 1.2, best=False, best_mean=1.5))
    vocals = figures.stems["vocals"]
    assert (vocals.last, vocals.best, vocals.best_step) == (1.2, 1.5, 40)
    assert vocals.change == pytest.approx(-0.3)
    assert figures.history == [1.0, 1.5, 1.2]


def test_anything_is_better_than_no_number() -> None:
    vocals = StemScore(math.nan, math.nan, 20)
    for sdr, number_of_steps in ((-math.inf, 40), (1.0, 60), (math.nan, 80)):
        vocals.move(sdr, number_of_steps)
    assert (vocals.best, vocals.best_step) == (1.0, 60)


def test_a_run_that_goes_on_knows_its_best_but_not_when_it_was() -> None:
    figures = RunStatistics(RECIPE)
    figures.note(ADVERSARIAL)
    assert figures.step == 400
    figures.note(validated(420, 2.0, 4.0, best=False, best_mean=3.5))
    assert figures.mean
    assert (figures.mean.last, figures.mean.best, figures.mean.best_step) == (3.0, 3.5, None)
    figures.note(validated(440, 3.0, 5.0, best=True, best_mean=4.0))
    assert (figures.mean.change, figures.mean.best, figures.mean.best_step) == (1.0, 4.0, 440)


def test_an_epoch_means_nothing_where_data_are_endless() -> None:
    assert told().epoch == 0.4
    endless = RunStatistics(RECIPE)
    endless.note(ADVERSARIAL)
    assert endless.epoch is None


def test_a_validation_is_awaited_where_one_is_due() -> None:
    figures = RunStatistics(RECIPE)
    figures.note(STARTED)
    due = []
    for event in (step(19), step(20), validated(20, 1.0, best=True, best_mean=1.0), step(1000)):
        figures.note(event)
        due.append(figures.validating)
    assert due == [False, True, False, True]
    unjudged = RunStatistics(RECIPE)
    unjudged.note(step(20))
    assert not unjudged.validating


def test_sound_is_no_figure() -> None:
    before = told()
    after = told(ExcerptRendered(40, "song", 8000, {}, {}))
    assert (after.step, after.history) == (before.step, before.history)


def test_the_total_is_the_last_and_stems_are_folded_away() -> None:
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


def test_blocks_go_from_the_lowest_to_the_highest() -> None:
    """Eight blocks for eight even steps; only the last values count."""
    assert sparkline([float(n) for n in range(8)], 20) == "▁▂▃▄▅▆▇█"
    assert sparkline([100.0, 1.0, 2.0], 2) == "▁█"
    assert sparkline([3.0, 3.0], 5) == "▁▁"
    assert sparkline([math.nan, 1.0, -math.inf, 2.0], 5) == "▁█"
    assert sparkline([], 5) == ""
