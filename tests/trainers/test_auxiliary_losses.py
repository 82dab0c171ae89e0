"""Auxiliary losses, which networks compute themselves.

Reference: sums by hand, and the same step without activation checkpointing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_zoo import registry
from tests.trainers.commands import RATE
from tests.trainers.frames import with_objective
from tests.trainers.runs import batch, fresh
from trainers.config import ModelRecipe, Recipe
from trainers.loop.execution import checkpoint_blocks
from trainers.loop.step import training_step

OPTIONS = {
    **{"num_fft_bins": 64, "num_frames": 16, "num_channels": 2, "hidden_channels": 4},
    **{"num_levels": 2, "recurrent_depth": 1, "hidden_size": 16, "hop_size": 64},
    "sample_rate": RATE,
}


def with_vae(recipe: Recipe, weight: float) -> Recipe:
    losses = {"waveform_l1": 1.0, "divergence": weight}
    return replace(recipe, model=ModelRecipe("spectrogram_net_vae", OPTIONS), losses=losses)


@pytest.mark.parametrize("weight", [0.5, 0.0])
def test_auxiliary_losses_are_weighted(recordings: Path, recipe: Recipe, weight: float) -> None:
    recipe = with_vae(recipe, weight)
    state, task = fresh(recipe)
    losses = training_step(state, task, batch(recordings, recipe, range(2))).losses
    divergence = state.separator.auxiliary_losses()["divergence"].item()
    assert losses["divergence"] == pytest.approx(divergence)
    assert losses["total"] == pytest.approx(losses["waveform_l1"] + weight * divergence)


def test_an_accumulated_batch_is_one_step_of_a_codebook(
    recordings: Path, recipe: Recipe, adversarial: Recipe
) -> None:
    """Reference: the undivided batch. Estimates for discriminator steps do not count codes."""
    four, counts = batch(recordings, recipe, range(4)), []
    recipe_with_codes = with_objective(recipe, "codes", dropout=0.0, patience=1)
    losses = {**recipe_with_codes.losses, "generator": 1.0}
    adversarial_recipe = replace(recipe_with_codes, losses=losses, adversary=adversarial.adversary)
    for accumulate in (1, 4):
        loop = replace(recipe_with_codes.loop, batch_size=4, accumulation_steps=accumulate)
        state, task = fresh(replace(adversarial_recipe, loop=loop))
        training_step(state, task, four)
        counts.append((state.separator.network.quantiser.idle, state.separator.diagnostics()))
        assert state.ema.model.diagnostics() == state.separator.diagnostics()
    assert counts[1][0].equal(counts[0][0])
    assert counts[1][1] == pytest.approx(counts[0][1])
    assert {*counts[0][0].tolist()} == {0, 1}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_batch_normalization_tracks_every_part_once(
    recordings: Path, adversarial: Recipe, accumulate: int
) -> None:
    """Discriminator steps on the same parts do not change the count."""
    sizes = {**registry.architecture("tfswa_resunet").small_options, "stems": ["vocals"]}
    loop = replace(adversarial.loop, accumulation_steps=accumulate)
    state, task = fresh(replace(adversarial, model=ModelRecipe("tfswa_resunet", sizes), loop=loop))
    training_step(state, task, batch(recordings, adversarial, range(2)))
    found = dict(state.separator.named_buffers())
    batches_tracked = {found[name].item() for name in found if name.endswith("batches_tracked")}
    assert batches_tracked == {accumulate}


def test_recomputed_blocks_give_the_same_gradient(recordings: Path, recipe: Recipe) -> None:
    """Recomputation samples the latent variable with the same noise."""
    recipe = with_vae(recipe, 0.5)
    two, gradients = batch(recordings, recipe, range(2)), []
    for recompute in (False, True):
        state, task = fresh(recipe)
        if recompute:
            checkpoint_blocks(state.separator)
        torch.manual_seed(5)
        training_step(state, task, two)
        gradients.append(
            [weight.grad for weight in state.separator.parameters() if weight.requires_grad]
        )
    torch.testing.assert_close(gradients[1], gradients[0], atol=0, rtol=0)
