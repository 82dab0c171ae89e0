"""Reduced precision, activation checkpointing and compilation. Reference: plain float32 steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from model_zoo import registry
from model_zoo.blocks.attention import RoFormerBlock
from model_zoo.errors import ConfigError
from tests.trainers.runs import batch, fresh, run_steps
from trainers.config import Recipe
from trainers.loop.execution import checkpoint_blocks
from trainers.loop.step import training_step


def with_loop(recipe: Recipe, **changes: object) -> Recipe:
    return replace(recipe, loop=replace(recipe.loop, **changes))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_has_nearly_the_same_losses(
    recordings: Path, adversarial: Recipe, precision: str
) -> None:
    """bfloat16 has 8 significant bits: losses agree to a few percent, and weights stay float32."""
    two = batch(recordings, adversarial, range(2))
    found = []
    for name in ("fp32", precision):
        state, task = fresh(with_loop(adversarial, precision=name))
        losses = [training_step(state, task, two).losses for _ in range(3)]
        assert {weight.dtype for weight in state.separator.parameters()} == {torch.float32}
        found.append(losses)
    assert found[1] != found[0]
    for exact, reduced in zip(*found, strict=True):
        assert reduced == pytest.approx(exact, rel=0.05)


def test_recomputed_blocks_give_the_same_gradient(recordings: Path, recipe: Recipe) -> None:
    two = batch(recordings, recipe, range(2))
    gradients = []
    for recompute in (False, True):
        state, task = fresh(recipe)
        if recompute:
            checkpoint_blocks(state.separator)
        training_step(state, task, two)
        gradients.append([weight.grad for weight in state.separator.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0], atol=0, rtol=0)


def test_blocks_are_recomputed_only_in_training(recordings: Path, recipe: Recipe) -> None:
    state, task = fresh(recipe)
    calls: list[int] = []
    block = next(part for part in state.separator.modules() if isinstance(part, RoFormerBlock))
    forward = block.forward
    block.forward = lambda *inputs: (calls.append(1), forward(*inputs))[1]
    checkpoint_blocks(state.separator)
    two = batch(recordings, recipe, range(2))
    training_step(state, task, two)
    assert len(calls) == 2
    with torch.no_grad():
        state.separator(two.mixture)
    assert len(calls) == 3


def test_a_run_with_recomputed_blocks(recordings: Path, recipe: Recipe) -> None:
    expected = run_steps(recipe, 2, recordings, recordings / "plain")
    recomputed = run_steps(
        with_loop(recipe, activation_checkpointing=True), 2, recordings, recordings / "recomputed"
    )
    assert [step.losses for step in recomputed] == [step.losses for step in expected]


def test_compiled_and_recomputed_exclude_each_other(recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        with_loop(recipe, activation_checkpointing=True, compile=True)


def test_averages_share_no_memory_with_the_weights(recordings: Path, recipe: Recipe) -> None:
    state, task = fresh(with_loop(recipe, ema_decay=0.0))
    training_step(state, task, batch(recordings, recipe, range(2)))
    networks = (state.separator, state.ema.model)
    weights, average = (parameters_to_vector(network.parameters()) for network in networks)
    torch.testing.assert_close(weights, average)
    assert weights.data_ptr() != average.data_ptr()


def with_network(recipe: Recipe, architecture: str) -> Recipe:
    sizes = {**registry.architecture(architecture).small_options, "stems": ["vocals"]}
    return replace(recipe, model=replace(recipe.model, architecture=architecture, options=sizes))


@pytest.mark.parametrize("architecture", ["tfswa_unet", "tfswa_resunet", "multi_scale_tfswa"])
def test_recomputed_blocks_update_batch_statistics_once(
    recordings: Path, recipe: Recipe, architecture: str
) -> None:
    """Batch normalization has the same statistics, and gradients are the same."""
    variant, two = with_network(recipe, architecture), batch(recordings, recipe, range(2))
    buffers, gradients = [], []
    for recompute in (False, True):
        state, task = fresh(variant)
        if recompute:
            checkpoint_blocks(state.separator)
        training_step(state, task, two)
        buffers.append(dict(state.separator.named_buffers()))
        gradients.append([weight.grad for weight in state.separator.parameters()])
    batches_tracked = [
        value for name, value in buffers[1].items() if name.endswith("batches_tracked")
    ]
    assert {value.item() for value in batches_tracked} == {1}
    torch.testing.assert_close(buffers[1], buffers[0], atol=0, rtol=0)
    torch.testing.assert_close(gradients[1], gradients[0], atol=0, rtol=0)
