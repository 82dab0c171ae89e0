"""Learning rates and the counters of validations. Truth: numbers by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from trainers.config import ScheduleRecipe
from trainers.loop.state import TrainingProgress, lr_factor

HUNDRED = ScheduleRecipe(steps=100, warmup=10, decay=0.4)


def factors(recipe: ScheduleRecipe, *steps: int) -> list[float]:
    return [lr_factor(step, recipe) for step in steps]


def test_linear_by_hand() -> None:
    found = factors(HUNDRED, 0, 4, 9, 50, 60, 80, 99, 100)
    assert found == pytest.approx([0.1, 0.5, 1, 1, 1, 0.5, 0.025, 0])


def test_linear_ends_at_the_floor() -> None:
    """Half of the way down is half of what lies between 1 and 0.2."""
    assert factors(replace(HUNDRED, min_lr_ratio=0.2), 60, 80, 100, 120) == pytest.approx(
        [1, 0.6, 0.2, 0.2]
    )


def test_cosine_by_hand() -> None:
    """From step 10 to 100: a third of the way is three quarters of the height, a half is half."""
    cosine = replace(HUNDRED, shape="cosine")
    assert factors(cosine, 4, 10, 40, 55, 70, 100, 120) == pytest.approx(
        [0.5, 1, 0.75, 0.5, 0.25, 0, 0], abs=1e-12
    )
    above = replace(cosine, min_lr_ratio=0.2)
    assert factors(above, 10, 55, 100) == pytest.approx([1, 0.6, 0.2])


def test_constant_stays_up() -> None:
    assert factors(replace(HUNDRED, shape="constant"), 0, 9, 100) == pytest.approx([0.1, 1, 1])


def test_no_warmup_begins_at_full_height() -> None:
    assert lr_factor(0, replace(HUNDRED, warmup=0)) == 1


def test_plateau_falls_by_its_factor_down_to_the_floor() -> None:
    plateau = replace(HUNDRED, shape="plateau", factor=0.5, min_lr_ratio=0.2)
    assert [lr_factor(50, plateau, falls) for falls in range(4)] == [1, 0.5, 0.25, 0.2]


def test_falls_are_of_plateaus_alone() -> None:
    """A run that met plateaus may go on with another shape."""
    assert lr_factor(50, replace(HUNDRED, shape="constant"), reductions=3) == 1


def test_plateau_counts_validations_without_a_new_best() -> None:
    """Patience 2: the third and the fifth validation below the best each lower the rate."""
    schedule = replace(HUNDRED, shape="plateau", patience=2)
    progress, falls = TrainingProgress(), []
    for sdr in (1.0, 0.5, 0.9, 1.0, 0.2, 2.0, 1.9, 1.8):
        progress.update(sdr, schedule)
        falls.append(progress.lr_reductions)
    assert falls == [0, 0, 1, 1, 2, 2, 2, 3]


def test_other_shapes_never_fall() -> None:
    progress = TrainingProgress()
    for sdr in (1.0, *10 * [0.0]):
        progress.update(sdr, HUNDRED)
    assert progress.lr_reductions == 0


def test_the_best_is_kept_with_its_step() -> None:
    progress = TrainingProgress(step=7)
    assert progress.update(3.0, HUNDRED)
    progress.step = 9
    assert not progress.update(3.0, HUNDRED)
    assert (progress.best_sdr, progress.best_step, progress.stale) == (3.0, 7, 1)


def test_what_creeps_is_the_best_and_no_gain() -> None:
    """From 1 dB on by 4 thousandths: the third step up is above the hundredth that counts."""
    schedule, progress, stale = replace(HUNDRED, min_delta=0.01), TrainingProgress(), []
    for sdr in (1.0, 1.004, 1.008, 1.012, 1.016):
        assert progress.update(sdr, schedule)
        stale.append(progress.stale)
    assert stale == [0, 1, 2, 0, 1]
    assert progress.best_sdr == 1.016


def test_falls_of_a_plateau_end_a_run() -> None:
    """Patience 2 and two falls: the fourth validation in all without a gain, in a row or not."""
    schedule = replace(HUNDRED, shape="plateau", patience=2, max_reductions=2)
    progress, stuck = TrainingProgress(), []
    for sdr in (1.0, 0.5, 0.9, 2.0, 1.9, 1.8):
        progress.update(sdr, schedule)
        stuck.append(progress.is_stuck(schedule))
    assert stuck == [False, False, False, False, False, True]
    assert progress.why_stuck(schedule).startswith("2 reductions of the learning rate")


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    assert not TrainingProgress().update(math.nan, HUNDRED)


@pytest.mark.parametrize(("early_stopping_patience", "stuck"), [(0, []), (1, [2, 4]), (2, [])])
def test_early_stop_by_hand(early_stopping_patience: int, stuck: list[int]) -> None:
    """Scores 1 2 1 3 2: one validation in a row without a new best after the third and fifth."""
    schedule, progress = (
        replace(HUNDRED, early_stopping_patience=early_stopping_patience),
        TrainingProgress(),
    )
    found = []
    for index, sdr in enumerate((1.0, 2.0, 1.0, 3.0, 2.0)):
        progress.update(sdr, schedule)
        if progress.is_stuck(schedule):
            found.append(index)
    assert found == stuck
