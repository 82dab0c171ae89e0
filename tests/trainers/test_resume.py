"""Checkpoints and Ctrl-C. Reference: the uninterrupted run, bit for bit."""

from __future__ import annotations

import errno
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo import weights
from model_zoo.catalogue.resolve import LAST
from model_zoo.errors import (
    CheckpointError,
    OutputError,
    UsageError,
)
from stemcli.process import held_interrupts
from tests.trainers.runs import CPU, fresh, run_steps
from trainers.config import Recipe
from trainers.loop.checkpoint import load_checkpoint, save_checkpoint
from trainers.loop.execution import SingleDevice
from trainers.loop.state import EMA, TrainingProgress
from trainers.loop.trainer import train


@pytest.mark.parametrize("kind", ["recipe", "adversarial"])
def test_resumed_run_continues_bit_for_bit(
    recordings: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """The checkpoints are equal too: weights, averages, optimizer states and random generators."""
    recipe: Recipe = request.getfixturevalue(kind)
    full = run_steps(recipe, 4, recordings, recordings / "full")
    first = run_steps(recipe, 2, recordings, recordings / "parts")
    second = run_steps(recipe, 4, recordings, recordings / "parts", resume=True)
    assert [event.losses for event in first + second] == [event.losses for event in full]
    (tensors, texts), (expected, expected_texts) = (
        weights.read_safetensors(recordings / name / LAST) for name in ("parts", "full")
    )
    assert texts == expected_texts
    assert tensors.keys() == expected.keys()
    assert all(tensors[name].equal(expected[name]) for name in tensors)


def test_random_numbers_continue_after_a_checkpoint(recordings: Path, recipe: Recipe) -> None:
    run_steps(recipe, 2, recordings, recordings / "run")
    expected = torch.rand(3)
    torch.manual_seed(99)
    load_checkpoint(fresh(recipe)[0], recordings / "run")
    assert torch.rand(3).equal(expected)


def test_plateau_counters_are_saved(recordings: Path, recipe: Recipe) -> None:
    state, _ = fresh(recipe)
    state.progress = TrainingProgress(
        step=9, best_sdr=1.5, best_step=4, stale=3, lr_reductions=2, waited=1
    )
    save_checkpoint(state, recordings, CPU)
    other, _ = fresh(recipe)
    load_checkpoint(other, recordings)
    assert other.progress == state.progress


def test_the_gradient_scale_is_saved(recordings: Path, recipe: Recipe) -> None:
    fp16_recipe = replace(recipe, loop=replace(recipe.loop, precision="fp16"))
    state, _ = fresh(fp16_recipe)
    state.optimizer.scaler.load_state_dict(state.optimizer.scaler.state_dict() | {"scale": 32.0})
    save_checkpoint(state, recordings, CPU)
    other, _ = fresh(fp16_recipe)
    load_checkpoint(other, recordings)
    assert other.optimizer.scaler.get_scale() == 32.0
    full, _ = fresh(recipe)
    load_checkpoint(full, recordings)
    assert full.optimizer.scaler.get_scale() == 1.0


def test_an_adversary_cannot_be_added_on_resume(
    recordings: Path, recipe: Recipe, adversarial: Recipe
) -> None:
    run_steps(recipe, 1, recordings, recordings / "run")
    with pytest.raises(CheckpointError, match="it has model, the recipe model and discriminator"):
        run_steps(adversarial, 2, recordings, recordings / "run", resume=True)


def test_a_full_disk_leaves_the_last_checkpoint(
    recordings: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_steps(recipe, 2, recordings, recordings / "run")
    before = (recordings / "run" / LAST).read_bytes()

    def raise_disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(weights, "save_file", raise_disk_full)
    with pytest.raises(OutputError, match=r"last\.safetensors .*No space left on device"):
        run_steps(recipe, 4, recordings, recordings / "run", resume=True)
    assert (recordings / "run" / LAST).read_bytes() == before
    assert not [*(recordings / "run").glob("*.part")]


def test_loader_workers_do_not_change_a_run(recordings: Path, recipe: Recipe) -> None:
    with_worker = replace(recipe, loop=replace(recipe.loop, num_workers=1))
    full = run_steps(recipe, 4, recordings, recordings / "full")
    first = run_steps(with_worker, 2, recordings, recordings / "parts")
    second = run_steps(with_worker, 4, recordings, recordings / "parts", resume=True)
    assert [event.losses for event in first + second] == [event.losses for event in full]
    resumed_state, expected_state = (
        tensors_of(recordings / name, "optimizer") for name in ("parts", "full")
    )
    assert resumed_state.equal(expected_state)


@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_run_continues_bit_for_bit(
    recordings: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Ctrl-C within a step: the step is finished and saved, and nothing is repeated."""
    full = run_steps(recipe, 4, recordings, recordings / "full")
    update = EMA.update

    def interrupt_and_update(average: EMA, model: torch.nn.Module) -> None:
        if average.updates == stop - 1:
            signal.raise_signal(signal.SIGINT)
        update(average, model)

    monkeypatch.setattr(EMA, "update", interrupt_and_update)
    with pytest.raises(KeyboardInterrupt):
        run_steps(recipe, 4, recordings, recordings / "parts")
    monkeypatch.undo()
    monkeypatch.setenv("STEM_CACHE", str(recordings / "cache"))
    resumed = run_steps(recipe, 4, recordings, recordings / "parts", resume=True)
    assert [event.losses for event in resumed] == [event.losses for event in full[stop:]]
    for name in ("model", "ema"):
        assert tensors_of(recordings / "parts", name).equal(tensors_of(recordings / "full", name))


def tensors_of(folder: Path, part: str) -> torch.Tensor:
    """All tensors of one part of a checkpoint, concatenated."""
    tensors, _ = weights.read_safetensors(folder / LAST)
    return torch.cat([tensors[name].flatten() for name in sorted(tensors) if name.startswith(part)])


def test_held_interrupts_are_raised_at_the_end() -> None:
    done = []
    before = signal.getsignal(signal.SIGINT)

    @held_interrupts()
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupts_are_not_held_in_other_threads() -> None:
    """Python lets only the main thread change signal handlers."""
    before = signal.getsignal(signal.SIGINT)

    @held_interrupts()
    def work() -> bool:
        return signal.getsignal(signal.SIGINT) is before

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result()


def test_ignored_interrupts_stay_ignored() -> None:
    """Background jobs of a shell ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_interrupts():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_is_not_overwritten(recordings: Path, recipe: Recipe) -> None:
    run_steps(recipe, 2, recordings, recordings / "run")
    with pytest.raises(OutputError, match="already holds a run"):
        run_steps(recipe, 2, recordings, recordings / "run")


def test_checkpoints_that_cannot_be_resumed(recordings: Path, recipe: Recipe) -> None:
    folder = recordings / "run"
    with pytest.raises(UsageError, match="leave out --resume"):
        run_steps(recipe, 2, recordings, folder, resume=True)
    run_steps(recipe, 2, recordings, folder)
    wider = recipe.to_dict()
    wider["model"]["options"]["hidden_channels"] = 32
    with pytest.raises(CheckpointError, match="does not fit this recipe"):
        run_steps(Recipe.from_dict(wider), 4, recordings, folder, resume=True)
    content = (folder / LAST).read_bytes()
    (folder / LAST).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        run_steps(recipe, 4, recordings, folder, resume=True)


def test_the_state_of_another_optimizer_is_refused(recordings: Path, recipe: Recipe) -> None:
    run_steps(recipe, 1, recordings, recordings / "run")
    other = replace(recipe, optimizer=replace(recipe.optimizer, name="adamw"))
    with pytest.raises(CheckpointError, match="it was written with another optimizer"):
        run_steps(other, 2, recordings, recordings / "run", resume=True)


def test_workers_draw_different_random_numbers(recordings: Path, recipe: Recipe) -> None:
    """Random numbers depend on seed, rank and first step, and differ for any two of them.

    The first of several workers draws the same numbers as a single one.
    """

    def drawn(rank: int, steps: int) -> tuple[float, ...]:
        plan = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
        worker, resume = SingleDevice(CPU.device, rank), steps > 1
        train(plan, recordings, (), recordings / "run", worker, lambda _: None, resume=resume)
        return tuple(torch.rand(3).tolist())

    started = [drawn(rank, 1) for rank in (2, 1, 1)]  # they write nothing
    fresh(recipe)
    alone = tuple(torch.rand(3).tolist())
    first = drawn(0, 1)
    resumed = [drawn(rank, 2) for rank in (2, 1, 1, 0)]
    assert started[1] == started[2]
    assert resumed[1] == resumed[2]
    assert first == resumed[3] == alone
    assert len({*started, *resumed}) == 5
