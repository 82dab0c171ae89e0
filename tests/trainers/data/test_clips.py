"""Numbers and shapes of clips, against numbers by hand and the clips of a single worker."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model_zoo.errors import ConfigError
from tests.trainers.commands import RATE
from tests.trainers.runs import run_steps, voices
from trainers.config import Recipe, ScheduleRecipe, StageRecipe
from trainers.data.clips import ClipPlan, ClipShape, numbers
from trainers.loop.state import EMA


@given(
    first=st.integers(0, 5),
    steps=st.integers(0, 5),
    batch=st.integers(1, 4),
    world=st.integers(1, 4),
)
def test_workers_share_the_clips_of_a_single_worker(
    first: int, steps: int, batch: int, world: int
) -> None:
    """Property: in every step, the clips of all workers are the batch of a single worker."""
    end = first + steps
    expected = [*numbers(first, end, batch * world)]
    parts = [[*numbers(first, end, batch, rank, world)] for rank in range(world)]
    joined = [
        number
        for step in range(steps)
        for part in parts
        for number in part[step * batch : (step + 1) * batch]
    ]
    assert joined == expected


def progressive(recipe: Recipe) -> Recipe:
    """Ten steps: the first half with short low-passed clips, a fifth with longer ones."""
    stages = (StageRecipe(0.5, 0.2, 500.0), StageRecipe(0.7, 0.3))
    schedule = ScheduleRecipe(steps=10, warmup=0, stages=stages)
    return replace(recipe, schedule=schedule, losses={"waveform_l1": 1.0})


def test_stages_by_hand(recipe: Recipe) -> None:
    """Two workers with two clips each: step 5 starts with clip 20, step 7 with clip 28."""
    plan = ClipPlan.of(progressive(recipe), RATE, world_size=2)
    short, longer, last = ClipShape(1600, 500.0), ClipShape(2400), ClipShape(4000)
    found = [plan.at(index) for index in (0, 19, 20, 27, 28, 10_000)]
    assert found == [short, short, longer, longer, last, last]


def test_early_clips_are_short_and_low_passed(recordings: Path, recipe: Recipe) -> None:
    mixes = voices(progressive(recipe), recordings)
    lengths = [mixes[index][0].shape[-1] for index in (0, 10, 14)]
    assert lengths == [1600, 2400, 4000]
    assert lowpass_hz(mixes[0][0].numpy()) < 700
    assert lowpass_hz(mixes[10][0].numpy()) > 3000


def lowpass_hz(wave: np.ndarray) -> float:
    """Frequency below which all energy but a millionth lies."""
    power = np.square(np.abs(np.fft.rfft(wave * np.hanning(wave.shape[-1])))).sum(0)
    share = power.cumsum() / power.sum()
    return float(np.searchsorted(share, 1 - 1e-6) * RATE / wave.shape[-1])


def test_a_run_with_stages_resumes_within_a_stage(
    recordings: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reference: the uninterrupted run. Ctrl-C comes in the second stage."""
    staged = progressive(recipe)
    full = run_steps(staged, 10, recordings, recordings / "full")
    update = EMA.update

    def update_and_interrupt(average: EMA, model: nn.Module) -> None:
        update(average, model)
        if average.updates == 6:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(EMA, "update", update_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_steps(staged, 10, recordings, recordings / "parts")
    monkeypatch.setattr(EMA, "update", update)
    resumed = run_steps(staged, 10, recordings, recordings / "parts", resume=True)
    assert [step.losses for step in resumed] == [step.losses for step in full[6:]]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([StageRecipe(0.5), StageRecipe(0.4)], "in ascending order of until"),
        ([StageRecipe(0.5), StageRecipe(0.5)], "in ascending order of until"),
    ],
)
def test_stages_must_be_in_ascending_order(stages: list[StageRecipe], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScheduleRecipe(stages=tuple(stages))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"until": 0.0}, "until must be a share"),
        ({"until": 1.5}, "until must be a share"),
        ({"seconds": 0.0}, "seconds must be above 0"),
        ({"lowpass_hz": -1.0}, "lowpass_hz must be 0 or more"),
    ],
)
def test_invalid_stages_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StageRecipe(**values)
