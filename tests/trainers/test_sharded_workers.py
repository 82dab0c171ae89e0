"""Two workers that hold a network together. Truth: two that each have all of it, and one alone."""

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
    """For each of two workers."""
    return replace(recipe, loop=replace(recipe.loop, batch_size=recipe.loop.batch_size // 2))


def alone(
    recipe: Recipe, data: Path, folder: Path, *tracks: Path, resume: bool = False
) -> list[Event]:
    events: list[Event] = []
    train(recipe, data, tracks, folder, CPU, events.append, resume=resume)
    return events


def tensors(folder: Path, name: str = LAST) -> dict[str, Tensor]:
    return read_safetensors(folder / name)[0]


def of_kind(told: list[dict[str, Any]], kind: str, value: str) -> list[Any]:
    return [event[value] for event in told if event["event"] == kind]


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
def plain(adversarial: Recipe) -> Recipe:
    """The tiny adversarial recipe with AdamW."""
    return replace(adversarial, optimizer=replace(adversarial.optimizer, name="adamw", lr=1e-3))


@pytest.mark.slow
def test_a_network_in_two_parts_learns_what_whole_ones_learn(
    recordings: Path, plain: Recipe
) -> None:
    """Weights, averages, memories of optimizers, scores, and what is kept; in half of the space."""
    tracks = [make_track(voices(plain, recordings), recordings / name) for name in "abc"]
    whole = two_workers(half_a_batch(plain), recordings, *tracks)
    (recordings / "rank0").rename(recordings / "whole")
    parts = two_workers(half_a_batch(plain), recordings, *tracks, kind="sharded")
    one = alone(plain, recordings, recordings / "alone", *tracks)
    for folder, error in (("whole", 1e-5), ("alone", 1e-5)):
        assert_near(tensors(recordings / "rank0"), tensors(recordings / folder), error)
        assert_near(tensors(recordings / "rank0", BEST), tensors(recordings / folder, BEST), 1e-3)
    assert parts[0][0] == whole[0][0]  # counts all parameters
    for value in ("losses", "gradient_norms"):
        expected = of_kind(whole[0], "step_done", value)
        assert of_kind(parts[0], "step_done", value) == [pytest.approx(x, 1e-4) for x in expected]
    scores = of_kind(parts[0], "validated", "sdr")
    assert scores == [pytest.approx(x, 1e-4) for x in of_kind(whole[0], "validated", "sdr")]
    assert scores == [pytest.approx(x.sdr, 1e-4) for x in one if isinstance(x, Validated)]
    assert of_kind(parts[0], "excerpt_rendered", "attention") == of_kind(
        whole[0], "excerpt_rendered", "attention"
    )
    assert [event["event"] for event in parts[1]] == ["returned", "held"]
    assert not (recordings / "rank1").exists()
    (held,) = of_kind(whole[0], "held", "bytes")
    assert [of_kind(told, "held", "bytes") for told in parts] == [[held / 2], [held / 2]]


@pytest.mark.slow
def test_checkpoints_go_from_whole_to_parts_and_back(recordings: Path, plain: Recipe) -> None:
    """Truth: a run of one worker that nothing disturbed."""
    two, four, six = (with_steps(plain, steps) for steps in (2, 4, 6))
    losses = [
        event
        for event in alone(six, recordings, recordings / "through")
        if isinstance(event, StepDone)
    ]
    alone(two, recordings, recordings / "rank0")
    copytree(recordings / "rank0", recordings / "rank1")
    told, _ = two_workers(half_a_batch(four), recordings, kind="sharded", resume=True)
    norms = of_kind(told, "step_done", "gradient_norms")
    assert norms == [pytest.approx(step.gradient_norms, 1e-4) for step in losses[2:4]]
    back = alone(six, recordings, recordings / "rank0", resume=True)
    found = [event.losses for event in back if isinstance(event, StepDone)]
    assert found == [pytest.approx(step.losses, 1e-4) for step in losses[4:]]


@pytest.mark.slow
def test_parts_in_half_precision_recomputed_and_accumulated(
    recordings: Path, adversarial: Recipe
) -> None:
    """Truth: whole networks by the same recipe; Muon's bfloat16 keeps 8 bits of a number."""
    loop = replace(
        adversarial.loop, accumulation_steps=2, precision="fp16", activation_checkpointing=True
    )
    recipe = with_steps(replace(adversarial, loop=loop), 2)
    parts, _ = two_workers(recipe, recordings, kind="sharded")
    (recordings / "rank0").rename(recordings / "parts")
    two_workers(recipe, recordings)
    assert [event["event"] for event in parts][-3:] == ["run_finished", "returned", "held"]
    (found, texts), (expected, expected_texts) = (
        read_safetensors(recordings / name / LAST) for name in ("parts", "rank0")
    )
    assert texts == expected_texts
    assert_near(found, expected, 2**-8)


@pytest.mark.slow
def test_parts_refuse_clips_that_are_too_short(recordings: Path, plain: Recipe) -> None:
    """Truth: the sentence of one worker; both must come to the same end."""
    short = half_a_batch(replace(plain, data=replace(plain.data, clip_seconds=0.01)))
    with pytest.raises(ConfigError) as refused:
        alone(short, recordings, recordings / "alone")
    told = two_workers(short, recordings, kind="sharded")
    assert [of_kind(one, "refused", "message") for one in told] == 2 * [[str(refused.value)]]


def test_a_worker_that_depends_on_others_saves_nothing_alone(
    recordings: Path, recipe: Recipe
) -> None:
    """It would wait for ever for the others, who know nothing of a full disk or of Ctrl-C."""

    def interrupt(event: Event) -> None:
        if isinstance(event, StepDone):
            raise KeyboardInterrupt

    for independent in (False, True):
        folder = recordings / f"run{independent}"
        worker = replace(CPU, saves_alone=independent)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, recordings, (), folder, worker, interrupt)
        assert (folder / LAST).exists() == independent
