"""Memory of a training: counted from the tensors of a real run, and files as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.trainers.commands import assert_error, set_options, train
from tests.trainers.runs import CPU, batch, fresh
from trainers.config import Recipe
from trainers.loop import memory
from trainers.loop.memory import free_memory, least_memory
from trainers.loop.state import TrainState
from trainers.loop.step import training_step

MEMINFO = "MemTotal:  4000 kB\nMemFree: 10 kB\nMemAvailable: 1000 kB\nSwapFree:  24 kB\n"


def held(state: TrainState) -> int:
    """Bytes of all tensors that a run holds between its steps, with gradients."""
    modules: list[nn.Module] = [state.separator, state.ema.model]
    modules += [state.discriminator] if state.discriminator else []
    tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    tensors += [value.grad for value in tensors if value.grad is not None]
    for optimizer in state.optimizers.values():
        for part in optimizer.optimizers:
            states = [value for row in part.state.values() for value in row.values()]
            tensors += [value for value in states if value.ndim]  # a scalar counts the steps
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("kind", ["recipe", "adversarial"])
def test_the_least_memory_is_that_of_a_real_step(
    recordings: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    recipe: Recipe = request.getfixturevalue(kind)
    state, task = fresh(recipe)
    training_step(state, task, batch(recordings, recipe, range(2)))
    assert least_memory(recipe) == held(state)


def test_free_memory_counts_swap_and_the_limit_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert free_memory(CPU.device) is None
    (tmp_path / "meminfo").write_text(MEMINFO)
    assert free_memory(CPU.device) == 1024 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(CPU.device) == 1024 * 1024
    (tmp_path / "memory.max").write_text("9000\n")
    (tmp_path / "memory.stat").write_text("anon 2000\nfile 7000\n")
    assert free_memory(CPU.device) == 7000
    assert free_memory(torch.device("mps")) is None


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_network_that_cannot_fit_is_refused(
    tiny: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda _: 1000)
    result = train(*more)
    assert_error(result, 1, "has 1.0 kB of free memory. Use a smaller network, e.g. --recipe quick")
    assert not (workdir / "run").exists()


def test_a_dry_run_says_first_what_it_does(tiny: Path, workdir: Path) -> None:
    result = train("--dry-run", *set_options("data.clip_seconds=0.25"))
    assert result.output.splitlines()[0] == "Building melroformer and running 2 steps"
