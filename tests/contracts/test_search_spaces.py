"""The contract of search spaces, for every architecture of the registry.

A space must cover the required categories, and every sample must be a valid recipe whose network
can be built and has a comparable size.
"""

from __future__ import annotations

import random

import pytest
import torch

from model_zoo import registry
from trainers.config import Recipe
from trainers.recipes.loading import load_recipe
from trainers.search.space import Space, read_space, require_architecture, space_text

NAMES = sorted(registry.ARCHITECTURES)
QUICK = {"melroformer", "spleeter", "tfswa_resunet", "open_unmix"}
"""Architectures whose whole spaces are tested each time; those of the others take minutes."""
THOROUGH = [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in NAMES]
NEEDED = {"width", "depth", "stft", "learning_rate", "loss_weights", "augmentation"}
PARTS = {"num_heads": "heads", "num_groups": "groups"}
"""Optional parts of an architecture, and the category each requires."""

DRAWS = 8
SMALLEST, LARGEST = 1 / 12, 12
"""Limits of the parameter count, relative to the recipe."""


def size(recipe: Recipe) -> int:
    with torch.device("meta"):
        return registry.build(recipe.model.architecture, recipe.model.options).parameter_count()


@pytest.fixture(scope="module", params=NAMES)
def space(request: pytest.FixtureRequest) -> Space:
    """The search space of an architecture, around its small recipe."""
    base = load_recipe(f"tune-{request.param}")
    require_architecture(base, request.param)
    return read_space(space_text(request.param), request.param, base, own=True)


def test_the_required_categories_are_covered(space: Space) -> None:
    kind = registry.architecture(space.base.model.architecture).Config
    parts = {category for field, category in PARTS.items() if hasattr(kind, field)}
    assert NEEDED | parts <= space.categories


def test_the_recipe_itself_is_in_the_space(space: Space) -> None:
    assert space.base_params is not None
    changes = space.changes(space.base_params)
    assert size(space.recipe(changes)) == size(space.base)


@pytest.mark.parametrize("space", THOROUGH, indirect=True)
def test_every_sample_is_a_valid_recipe(space: Space) -> None:
    rng, base = random.Random(0), size(space.base)
    corners = [{one.name: one.extremes[end] for one in space.dimensions} for end in (0, -1)]
    edges = [{one.name: param} for one in space.dimensions for param in one.extremes]
    samples = [{one.name: one.at(rng.random()) for one in space.dimensions} for _ in range(DRAWS)]
    for params in (*corners, *edges, *samples):
        recipe = space.recipe(space.changes(params))
        assert SMALLEST <= size(recipe) / base <= LARGEST, params


def test_extreme_samples_run_on_a_clip(space: Space) -> None:
    for end in (0, -1):
        params = {one.name: one.extremes[end] for one in space.dimensions}
        model = space.recipe(space.changes(params)).model
        network = registry.build(model.architecture, model.options).eval()
        wave = torch.sin(torch.arange(network.channels * 10_000) / 9.0).view(1, -1, 10_000)
        with torch.no_grad():
            assert network(wave).isfinite().all()


@pytest.mark.parametrize("name", THOROUGH)
def test_the_space_works_at_full_size(name: str) -> None:
    space = read_space(space_text(name), name, load_recipe(name), own=True)
    assert space.categories >= NEEDED
    rng = random.Random(1)
    for _ in range(4):
        params = {one.name: one.at(rng.random()) for one in space.dimensions}
        space.recipe(space.changes(params))
