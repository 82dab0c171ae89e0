"""How networks are run. Truth: the same step in float32 without any of it."""

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
def test_reduced_precision_learns_nearly_the_same(
    recordings: Path, adversarial: Recipe, precision: str
) -> None:
    """Bfloat16 keeps 8 bits of a number: losses agree to a few per cent, weights stay float32."""
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


def test_recomputed_blocks_run_twice_and_only_while_learning(
    recordings: Path, recipe: Recipe
) -> None:
    state, task = fresh(recipe)
    calls: list[int] = []
    block = next(part for part in state.separator.modules() if isinstance(part, RoFormerBlock))
    whole = block.forward
    block.forward = lambda *inputs: (calls.append(1), whole(*inputs))[1]
    checkpoint_blocks(state.separator)
    two = batch(recordings, recipe, range(2))
    training_step(state, task, two)
    assert len(calls) == 2
    with torch.no_grad():
        state.separator(two.mixture)
    assert len(calls) == 3


def test_a_run_with_recomputed_blocks(recordings: Path, recipe: Recipe) -> None:
    whole = run_steps(recipe, 2, recordings, recordings / "whole")
    saving = run_steps(
        with_loop(recipe, activation_checkpointing=True), 2, recordings, recordings / "saving"
    )
    assert [step.losses for step in saving] == [step.losses for step in whole]


def test_compiled_and_recomputed_exclude_each_other(recipe: Recipe) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        with_loop(recipe, activation_checkpointing=True, compile=True)


def test_averages_share_nothing_with_what_is_averaged(recordings: Path, recipe: Recipe) -> None:
    state, task = fresh(with_loop(recipe, ema_decay=0.0))
    training_step(state, task, batch(recordings, recipe, range(2)))
    networks = (state.separator, state.ema.model)
    one, other = (parameters_to_vector(network.parameters()) for network in networks)
    torch.testing.assert_close(one, other)
    assert one.data_ptr() != other.data_ptr()


def with_network(recipe: Recipe, architecture: str) -> Recipe:
    sizes = {**registry.architecture(architecture).small_options, "stems": ["vocals"]}
    return replace(recipe, model=replace(recipe.model, architecture=architecture, options=sizes))


@pytest.mark.parametrize("architecture", ["tfswa_unet", "tfswa_resunet", "multi_scale_tfswa"])
def test_recomputed_blocks_count_what_they_hear_once(
    recordings: Path, recipe: Recipe, architecture: str
) -> None:
    """Batch normalization gathers the same statistics, and gradients are the same."""
    chosen, two = with_network(recipe, architecture), batch(recordings, recipe, range(2))
    buffers, gradients = [], []
    for recompute in (False, True):
        state, task = fresh(chosen)
        if recompute:
            checkpoint_blocks(state.separator)
        training_step(state, task, two)
        buffers.append(dict(state.separator.named_buffers()))
        gradients.append([weight.grad for weight in state.separator.parameters()])
    counted = [value for name, value in buffers[1].items() if name.endswith("batches_tracked")]
    assert {value.item() for value in counted} == {1}
    torch.testing.assert_close(buffers[1], buffers[0], atol=0, rtol=0)
    torch.testing.assert_close(gradients[1], gradients[0], atol=0, rtol=0)
