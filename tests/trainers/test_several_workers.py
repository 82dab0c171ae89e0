"""Two workers in processes of their own. Truth: one worker with both of their batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo.catalogue.resolve import LAST
from model_zoo.weights import read_safetensors
from stemcli.engine.events import Event
from tests.trainers.runs import CPU, make_track, voices
from tests.trainers.two_workers import two_workers
from trainers.config import Recipe
from trainers.loop.events import StepDone, Validated
from trainers.loop.trainer import train


def test_two_workers_learn_what_one_learns_from_both_batches(
    recordings: Path, adversarial: Recipe
) -> None:
    """Losses are means over items, so the mean of two gradients is that of the whole batch.

    Early stopping ends all on one step, and the second worker neither writes nor tells anything.
    """
    tracks = [make_track(voices(adversarial, recordings), recordings / name) for name in "abc"]
    values = adversarial.to_dict()
    values["optimizer"] |= {"name": "adamw", "lr": 1e-30}
    values["adversary"]["optimizer"] |= {"lr": 1e-3}
    values["schedule"] |= {"steps": 40, "early_stopping_patience": 1}
    still = Recipe.from_dict(values)
    first, second = two_workers(
        replace(still, loop=replace(still.loop, batch_size=1)), recordings, *tracks
    )
    alone: list[Event] = []
    train(still, recordings, tuple(tracks), recordings / "alone", CPU, alone.append)
    steps = [event for event in first if event["event"] == "step_done"]
    expected = [event for event in alone if isinstance(event, StepDone)]
    assert [event["step"] for event in steps] == [event.step for event in expected] == [1, 2, 3, 4]
    for found, whole in zip(steps, expected, strict=True):
        assert found["gradient_norms"] == pytest.approx(whole.gradient_norms, rel=1e-3)
    scores = [event["sdr"] for event in first if event["event"] == "validated"]
    assert scores == [pytest.approx(event.sdr) for event in alone if isinstance(event, Validated)]
    assert [event["event"] for event in second] == ["returned", "held"]
    assert not (recordings / "rank1").exists()
    (shared, _), (whole, _) = (
        read_safetensors(recordings / name / LAST) for name in ("rank0", "alone")
    )
    judges = [name for name in whole if name.startswith("discriminator.")]
    assert judges
    for name in judges:
        torch.testing.assert_close(shared[name], whole[name], rtol=1e-3, atol=1e-4)
