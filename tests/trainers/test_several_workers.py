"""Two workers in separate processes. Reference: one worker with both batches."""

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


def test_two_workers_train_like_one_with_both_batches(
    recordings: Path, adversarial: Recipe
) -> None:
    """Losses are means over items, so the mean of two gradients is that of the full batch.

    Early stopping ends both at the same step; the second worker writes no files and no events.
    """
    tracks = [make_track(voices(adversarial, recordings), recordings / name) for name in "abc"]
    values = adversarial.to_dict()
    values["optimizer"] |= {"name": "adamw", "lr": 1e-30}
    values["adversary"]["optimizer"] |= {"lr": 1e-3}
    values["schedule"] |= {"steps": 40, "early_stopping_patience": 1}
    frozen = Recipe.from_dict(values)
    first, second = two_workers(
        replace(frozen, loop=replace(frozen.loop, batch_size=1)), recordings, *tracks
    )
    reference_events: list[Event] = []
    train(frozen, recordings, tuple(tracks), recordings / "alone", CPU, reference_events.append)
    steps = [event for event in first if event["event"] == "step_done"]
    expected = [event for event in reference_events if isinstance(event, StepDone)]
    assert [event["step"] for event in steps] == [event.step for event in expected] == [1, 2, 3, 4]
    for found, target in zip(steps, expected, strict=True):
        assert found["gradient_norms"] == pytest.approx(target.gradient_norms, rel=1e-3)
    scores = [event["sdr"] for event in first if event["event"] == "validated"]
    assert scores == [
        pytest.approx(event.sdr) for event in reference_events if isinstance(event, Validated)
    ]
    assert [event["event"] for event in second] == ["returned", "held"]
    assert not (recordings / "rank1").exists()
    (shared, _), (target, _) = (
        read_safetensors(recordings / name / LAST) for name in ("rank0", "alone")
    )
    discriminator_names = [name for name in target if name.startswith("discriminator.")]
    assert discriminator_names
    for name in discriminator_names:
        torch.testing.assert_close(shared[name], target[name], rtol=1e-3, atol=1e-4)
