"""Every architecture has recipes of its name for training and for searching.

Each recipe must build this very architecture and optimize all of its parameters.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch

from model_zoo import registry
from trainers.config import Recipe
from trainers.data.training_data import OF_SONGS
from trainers.loop.optimizer import build_optimizers
from trainers.recipes.loading import load_recipe

NAMES = sorted(registry.ARCHITECTURES)
LARGEST_TRIAL = 10_000_000
"""Limit of parameters, so that one trial takes a minute or two on one core."""


@cache
def recipe_named(name: str) -> Recipe:
    return load_recipe(name)


@cache
def parameters(recipe: str) -> int:
    """Number of parameters of the network of a recipe."""
    model = recipe_named(recipe).model
    with torch.device("meta"):
        return registry.build(model.architecture, model.options).parameter_count()


@pytest.mark.parametrize("prefix", ["", "tune-"])
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_builds_the_architecture_it_is_named_after(name: str, prefix: str) -> None:
    recipe = recipe_named(f"{prefix}{name}")
    assert recipe.name == f"{prefix}{name}"
    assert recipe.model.architecture == name
    with torch.device("meta"):
        network = registry.build(name, recipe.model.options)
    assert type(network) is registry.architecture(name)
    optimizers = build_optimizers(network, recipe.optimizer)
    optimized = [
        value for one in optimizers for group in one.param_groups for value in group["params"]
    ]
    assert sorted(map(id, optimized)) == sorted(map(id, network.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_one_trial_of_a_search_is_not_larger_than_the_recipe(name: str) -> None:
    assert parameters(f"tune-{name}") <= min(parameters(name), LARGEST_TRIAL)


@pytest.mark.parametrize("name", NAMES)
def test_architectures_without_stems_give_one_sound(name: str) -> None:
    kind = registry.architecture(name)
    network = kind(**kind.small_options)
    assert kind.role in ("stems", "phase", "codes")
    assert kind.role == "stems" or len(network.stems) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", OF_SONGS)
def test_pretraining_recipes_accept_any_layout(name: str, layout: str) -> None:
    """No layout refuses an augmentation of the recipes that learn from mixtures."""
    refused = {*recipe_named(name).data.augmentation.used} & {*OF_SONGS[layout].impossible}
    assert registry.architecture(name).role == "stems" or not refused
