"""Recipes: merging, changing and refusing. Truth: worked by hand from the rules in the module."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo import registry
from model_zoo.errors import ConfigError, UnknownNameError
from trainers.config import load_recipe, recipe_names
from trainers.losses import find_loss


@pytest.mark.parametrize("name", recipe_names())
def test_bundled_recipes_build(name: str) -> None:
    recipe = load_recipe(name)
    network = registry.build(recipe.model.architecture, recipe.model.options)
    assert set(network.stems) == {"vocals"}
    assert all(find_loss(loss) and weight > 0 for loss, weight in recipe.losses.items())


def test_base_is_merged_below_the_changes(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: melroformer-small\nloop: {batch_size: 7}\n")
    changed, base = load_recipe(str(file)), load_recipe("melroformer-small")
    assert changed.loop.batch_size == 7
    assert changed.loop.save_every == base.loop.save_every
    assert changed.model == base.model


def test_set_reaches_nested_values() -> None:
    recipe = load_recipe("melroformer-small", ("schedule.steps=12", "model.options.num_layers=1"))
    assert recipe.schedule.steps == 12
    assert recipe.model.options["num_layers"] == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("loop.batchsize=2", "did you mean 'batch_size'"),
        ("loop.batch_size=many", "batch_size must be a whole number, found 'many'"),
        ("data.silent=0.99", "add up to at most 1"),
        ("data.level=[3, -3]", "lower and an upper bound"),
        ("loop", "must look like"),
        ("name.deep=1", "holds a value"),
    ],
)
def test_bad_changes_are_named(change: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_recipe("melroformer-small", (change,))


def test_every_mistake_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("melroformer-small", ("data.silent=2", "data.level=[1]"))
    assert len(caught.value.mistakes) == 2


def test_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="melroformer-small"):
        load_recipe("melroformer-smal")


@pytest.mark.parametrize("text", ["- a\n- b\n", "key: [1,\n", "nothing.yaml"])
def test_files_that_are_no_recipe(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.yaml"
    if text != "nothing.yaml":
        file.write_text(text)
    with pytest.raises(ConfigError, match="recipe"):
        load_recipe(str(file))
