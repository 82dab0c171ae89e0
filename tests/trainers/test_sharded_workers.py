"""Two workers that shard a network. Reference: two unsharded workers, and a single worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo.catalogue.resolve import BEST, LAST
from model_zoo.errors import ConfigError
from model_zoo.weights import read_safetensors
from stemcli.engine.events import Event
from tests.trainers.runs import CPU, make_track, voices
from tests.trainers.two_workers import two_workers
from trainers.config import Recipe
from trainers.loop.events import StepDone, Validated
from trainers.loop.trainer import train


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    return replace(recipe, schedule=replace(recipe.schedule, steps=steps))


def half_a_batch(recipe: Recipe) -> Recipe:
    """The recipe with half the batch size, for each of two workers."""
    return replace(recipe, loop=replace(recipe.loop, batch_size=recipe.loop.batch_size // 2))


def run_alone(
    recipe: Recipe, data: Path, folder: Path, *tracks: Path, resume: bool = False
) -> list[Event]:
    events: list[Event] = []
    train(recipe, data, tracks, folder, CPU, events.append, resume=resume)
    return events


def tensors(folder: Path, name: str = LAST) -> dict[str, Tensor]:
    return read_safetensors(folder / name)[0]


def of_kind(events: list[dict[str, Any]], kind: str, value: str) -> list[Any]:
    return [event[value] for event in events if event["event"] == kind]


def assert_near(found: dict[str, Tensor], expected: dict[str, Tensor], error: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name],
            value,
            rtol=error,
            atol=error,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.fixture
def adamw(adversarial: Recipe) -> Recipe:
    """The tiny adversarial recipe with AdamW."""
    return replace(adversarial, optimizer=replace(adversarial.optimizer, name="adamw", lr=1e-3))


@pytest.mark.slow
def test_sharded_workers_train_like_unsharded_ones(recordings: Path, adamw: Recipe) -> None:
    """Weights, averages, optimizer states, scores and files agree; each worker holds half."""
    tracks = [make_track(voices(adamw, recordings), recordings / name) for name in "abc"]
    unsharded = two_workers(half_a_batch(adamw), recordings, *tracks)
    (recordings / "rank0").rename(recordings / "unsharded")
    sharded = two_workers(half_a_batch(adamw), recordings, *tracks, kind="sharded")
    single = run_alone(adamw, recordings, recordings / "alone", *tracks)
    for folder, error in (("unsharded", 1e-5), ("alone", 1e-5)):
        assert_near(tensors(recordings / "rank0"), tensors(recordings / folder), error)
        assert_near(tensors(recordings / "rank0", BEST), tensors(recordings / folder, BEST), 1e-3)
    assert sharded[0][0] == unsharded[0][0]  # counts all parameters
    for value in ("losses", "gradient_norms"):
        expected = of_kind(unsharded[0], "step_done", value)
        assert of_kind(sharded[0], "step_done", value) == [pytest.approx(x, 1e-4) for x in expected]
    scores = of_kind(sharded[0], "validated", "sdr")
    assert scores == [pytest.approx(x, 1e-4) for x in of_kind(unsharded[0], "validated", "sdr")]
    assert scores == [pytest.approx(x.sdr, 1e-4) for x in single if isinstance(x, Validated)]
    assert of_kind(sharded[0], "excerpt_rendered", "attention") == of_kind(
        unsharded[0], "excerpt_rendered", "attention"
    )
    assert [event["event"] for event in sharded[1]] == ["returned", "held"]
    assert not (recordings / "rank1").exists()
    (held,) = of_kind(unsharded[0], "held", "bytes")
    assert [of_kind(events, "held", "bytes") for events in sharded] == [[held / 2], [held / 2]]


@pytest.mark.slow
def test_checkpoints_move_between_one_worker_and_shards(recordings: Path, adamw: Recipe) -> None:
    """Reference: the uninterrupted run of a single worker."""
    two, four, six = (with_steps(adamw, steps) for steps in (2, 4, 6))
    losses = [
        event
        for event in run_alone(six, recordings, recordings / "uninterrupted")
        if isinstance(event, StepDone)
    ]
    run_alone(two, recordings, recordings / "rank0")
    copytree(recordings / "rank0", recordings / "rank1")
    events, _ = two_workers(half_a_batch(four), recordings, kind="sharded", resume=True)
    norms = of_kind(events, "step_done", "gradient_norms")
    assert norms == [pytest.approx(step.gradient_norms, 1e-4) for step in losses[2:4]]
    resumed = run_alone(six, recordings, recordings / "rank0", resume=True)
    found = [event.losses for event in resumed if isinstance(event, StepDone)]
    assert found == [pytest.approx(step.losses, 1e-4) for step in losses[4:]]


@pytest.mark.slow
def test_shards_with_half_precision_checkpointing_and_accumulation(
    recordings: Path, adversarial: Recipe
) -> None:
    """Reference: unsharded workers with the same recipe; Muon's bfloat16 has 8 significant bits."""
    loop = replace(
        adversarial.loop, accumulation_steps=2, precision="fp16", activation_checkpointing=True
    )
    recipe = with_steps(replace(adversarial, loop=loop), 2)
    sharded, _ = two_workers(recipe, recordings, kind="sharded")
    (recordings / "rank0").rename(recordings / "sharded")
    two_workers(recipe, recordings)
    assert [event["event"] for event in sharded][-3:] == ["run_finished", "returned", "held"]
    (found, texts), (expected, expected_texts) = (
        read_safetensors(recordings / name / LAST) for name in ("sharded", "rank0")
    )
    assert texts == expected_texts
    assert_near(found, expected, 2**-8)


@pytest.mark.slow
def test_sharded_workers_refuse_short_clips(recordings: Path, adamw: Recipe) -> None:
    """Reference: the error message of a single worker, which both workers must give."""
    short = half_a_batch(replace(adamw, data=replace(adamw.data, clip_seconds=0.01)))
    with pytest.raises(ConfigError) as caught:
        run_alone(short, recordings, recordings / "alone")
    outputs = two_workers(short, recordings, kind="sharded")
    assert [of_kind(events, "refused", "message") for events in outputs] == 2 * [
        [str(caught.value)]
    ]


def test_a_worker_that_depends_on_others_does_not_save_alone(
    recordings: Path, recipe: Recipe
) -> None:
    """It would wait forever for the others, which do not know of a full disk or of Ctrl-C."""

    def interrupt(event: Event) -> None:
        if isinstance(event, StepDone):
            raise KeyboardInterrupt

    for independent in (False, True):
        folder = recordings / f"run{independent}"
        worker = replace(CPU, saves_alone=independent)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, recordings, (), folder, worker, interrupt)
        assert (folder / LAST).exists() == independent
