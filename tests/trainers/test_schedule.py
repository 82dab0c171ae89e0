"""Learning rate schedules and validation counters, against numbers by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trainers.config import ScheduleRecipe
from trainers.loop.state import TrainingProgress, lr_factor

HUNDRED_STEPS = ScheduleRecipe(steps=100, warmup=10, decay=0.4)


def factors(recipe: ScheduleRecipe, *steps: int) -> list[float]:
    return [lr_factor(step, recipe) for step in steps]


def test_linear_by_hand() -> None:
    found = factors(HUNDRED_STEPS, 0, 4, 9, 50, 60, 80, 99, 100)
    assert found == pytest.approx([0.1, 0.5, 1, 1, 1, 0.5, 0.025, 0])


def test_linear_ends_at_the_floor() -> None:
    """Halfway down is halfway between 1 and 0.2."""
    assert factors(replace(HUNDRED_STEPS, min_lr_ratio=0.2), 60, 80, 100, 120) == pytest.approx(
        [1, 0.6, 0.2, 0.2]
    )


def test_cosine_by_hand() -> None:
    """From step 10 to 100: after a third of the way 3/4 of the rate are left, after half 1/2."""
    cosine = replace(HUNDRED_STEPS, shape="cosine")
    assert factors(cosine, 4, 10, 40, 55, 70, 100, 120) == pytest.approx(
        [0.5, 1, 0.75, 0.5, 0.25, 0, 0], abs=1e-12
    )
    with_floor = replace(cosine, min_lr_ratio=0.2)
    assert factors(with_floor, 10, 55, 100) == pytest.approx([1, 0.6, 0.2])


def test_constant_keeps_the_full_rate() -> None:
    assert factors(replace(HUNDRED_STEPS, shape="constant"), 0, 9, 100) == pytest.approx(
        [0.1, 1, 1]
    )


def test_no_warmup_starts_at_the_full_rate() -> None:
    assert lr_factor(0, replace(HUNDRED_STEPS, warmup=0)) == 1


def test_plateau_reduces_by_its_factor_down_to_the_floor() -> None:
    plateau = replace(HUNDRED_STEPS, shape="plateau", factor=0.5, min_lr_ratio=0.2)
    assert [lr_factor(50, plateau, reductions) for reductions in range(4)] == [1, 0.5, 0.25, 0.2]


def test_only_plateau_uses_reductions() -> None:
    """A run that had plateaus may be resumed with another shape."""
    assert lr_factor(50, replace(HUNDRED_STEPS, shape="constant"), reductions=3) == 1


def test_plateau_counts_validations_without_a_new_best() -> None:
    """Patience 2: every second validation in a row without a gain lowers the rate."""
    schedule = replace(HUNDRED_STEPS, shape="plateau", patience=2)
    progress, reductions = TrainingProgress(), []
    for sdr in (1.0, 0.5, 0.9, 1.0, 0.2, 2.0, 1.9, 1.8):
        progress.update(sdr, schedule)
        reductions.append(progress.lr_reductions)
    assert reductions == [0, 0, 1, 1, 2, 2, 2, 3]


def test_other_shapes_have_no_reductions() -> None:
    progress = TrainingProgress()
    for sdr in (1.0, *10 * [0.0]):
        progress.update(sdr, HUNDRED_STEPS)
    assert progress.lr_reductions == 0


def test_the_best_score_is_kept_with_its_step() -> None:
    progress = TrainingProgress(step=7)
    assert progress.update(3.0, HUNDRED_STEPS)
    progress.step = 9
    assert not progress.update(3.0, HUNDRED_STEPS)
    assert (progress.best_sdr, progress.best_step, progress.stale) == (3.0, 7, 1)


def test_gains_below_min_delta_count_as_stale() -> None:
    """From 1 dB up by 0.004 each: only the third is above the min_delta of 0.01."""
    schedule, progress, stale = replace(HUNDRED_STEPS, min_delta=0.01), TrainingProgress(), []
    for sdr in (1.0, 1.004, 1.008, 1.012, 1.016):
        assert progress.update(sdr, schedule)
        stale.append(progress.stale)
    assert stale == [0, 1, 2, 0, 1]
    assert progress.best_sdr == 1.016


def test_max_reductions_end_a_run() -> None:
    """Patience 2 and two reductions: the fourth validation without a gain ends the run."""
    schedule = replace(HUNDRED_STEPS, shape="plateau", patience=2, max_reductions=2)
    progress, stuck = TrainingProgress(), []
    for sdr in (1.0, 0.5, 0.9, 2.0, 1.9, 1.8):
        progress.update(sdr, schedule)
        stuck.append(progress.is_stuck(schedule))
    assert stuck == [False, False, False, False, False, True]
    assert progress.why_stuck(schedule).startswith("2 reductions of the learning rate")


def test_a_nan_score_is_never_the_best() -> None:
    assert not TrainingProgress().update(math.nan, HUNDRED_STEPS)


@pytest.mark.parametrize(("early_stopping_patience", "stuck"), [(0, []), (1, [2, 4]), (2, [])])
def test_early_stop_by_hand(early_stopping_patience: int, stuck: list[int]) -> None:
    """Scores 1 2 1 3 2: the third and fifth are one validation without a new best."""
    schedule, progress = (
        replace(HUNDRED_STEPS, early_stopping_patience=early_stopping_patience),
        TrainingProgress(),
    )
    found = []
    for index, sdr in enumerate((1.0, 2.0, 1.0, 3.0, 2.0)):
        progress.update(sdr, schedule)
        if progress.is_stuck(schedule):
            found.append(index)
    assert found == stuck
