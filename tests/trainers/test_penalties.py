"""Losses that a network finds in itself.

Truth: sums by hand, and the same step without recomputing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trainers.commands import RATE
from tests.trainers.runs import batch, fresh
from trainers.config import ModelRecipe, Recipe
from trainers.loop.blocks import recompute_blocks
from trainers.loop.steps import training_step

OPTIONS = {
    **{"num_fft_bins": 64, "num_frames": 16, "num_channels": 2, "hidden_channels": 4},
    **{"num_levels": 2, "recurrent_depth": 1, "hidden_size": 16, "hop_size": 64},
    "sample_rate": RATE,
}


def with_vae(recipe: Recipe, weight: float) -> Recipe:
    losses = {"waveform_l1": 1.0, "divergence": weight}
    return replace(recipe, model=ModelRecipe("spectrogram_net_vae", OPTIONS), losses=losses)


@pytest.mark.parametrize("weight", [0.5, 0.0])
def test_penalties_count_by_their_weight(recordings: Path, recipe: Recipe, weight: float) -> None:
    recipe = with_vae(recipe, weight)
    state, task = fresh(recipe)
    losses = training_step(state, task, batch(recordings, recipe, range(2))).losses
    divergence = state.separator.penalties()["divergence"].item()
    assert losses["divergence"] == pytest.approx(divergence)
    assert losses["total"] == pytest.approx(losses["waveform_l1"] + weight * divergence)


def test_recomputed_blocks_give_the_same_gradient(recordings: Path, recipe: Recipe) -> None:
    """The noise that a latent variable is sampled with is the same the second time."""
    recipe = with_vae(recipe, 0.5)
    two, gradients = batch(recordings, recipe, range(2)), []
    for recompute in (False, True):
        state, task = fresh(recipe)
        if recompute:
            recompute_blocks(state.separator)
        torch.manual_seed(5)
        training_step(state, task, two)
        gradients.append(
            [weight.grad for weight in state.separator.parameters() if weight.requires_grad]
        )
    torch.testing.assert_close(gradients[1], gradients[0], atol=0, rtol=0)
