"""Search spaces, against values by hand. Property: the base of a space is its recipe."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from model_zoo.errors import ConfigError
from tests.trainers.search.searches import built_in_space
from trainers.config import Recipe
from trainers.recipes.loading import load_recipe
from trainers.search.space import Space, read_space, require_architecture, space_text


@pytest.fixture(scope="module")
def base() -> Recipe:
    return load_recipe("tune-melroformer")  # width 48, 2 layers, 2 heads, window 2048, hop 1024


def parse_space(base: Recipe, text: str, *, own: bool = False) -> Space:
    return read_space(text, "my space", base, own=own)


WIDTH = "{model.options.hidden_channels: {times: [0.5, 1, 1.3], multiple_of: [2, HEADS]}}".replace(
    "HEADS", "model.options.num_heads"
)


@pytest.mark.parametrize(
    ("domain", "raw", "value"),
    [
        ("optimizer.lr: {times_between: [0.5, 2], log: true}", 2.0, 0.006),
        ("optimizer.lr: {between: [0.001, 0.1], log: true}", 0.01, 0.01),
        ("optimizer.lr: {times_between: [0.5, 2]}", 1.23456, 0.003704),  # four digits
        ("model.options.num_layers: {times: [0.3, 1]}", 0, 1),  # 0.6 rounds to 1
        ("model.options.num_layers: {plus: [-1, 0, 2]}", 2, 4),
        ("data.augmentation.remix.chance: {times: [1, 4], most: 1}", 1, 1.0),  # 1.2 is more than 1
        ("loop.batch_size: {choice: [2, 4]}", 0, 2),
        ("optimizer.name: {choice: [adamw, muon]}", 0, "adamw"),
    ],
)
def test_a_value_by_hand(base: Recipe, domain: str, raw: float, value: Any) -> None:
    dimension = parse_space(base, f"something: {{{domain}}}").dimensions[0]
    (found,) = dimension.changes(raw).values()
    assert (found, type(found)) == (value, type(value))


def test_comma_separated_keys_share_a_factor(base: Recipe) -> None:
    found = parse_space(
        base, "rate: {'optimizer.lr, optimizer.muon_lr': {times_between: [0.5, 2]}}"
    )
    assert found.changes({"lr": 0.5}) == {"optimizer.lr": 0.0015, "optimizer.muon_lr": 0.003}


def test_keys_listed_together_change_together(base: Recipe) -> None:
    pair = "{model.options.window_size: {times: 0.5}, model.options.hop_size: 256}"
    same = "{model.options.window_size: 2048, model.options.hop_size: {times: 1}}"
    found = parse_space(base, f"stft: {{together: [{pair}, {same}]}}")
    assert found.changes({"window_size": 0}) == {
        "model.options.window_size": 1024,
        "model.options.hop_size": 256,
    }
    assert found.base_params == {"window_size": 1}


def test_a_width_is_a_multiple_of_the_drawn_heads(base: Recipe) -> None:
    found = parse_space(
        base, f"{{width: {WIDTH}, heads: {{model.options.num_heads: {{choice: [2, 5]}}}}}}"
    )
    drawn = found.changes({"hidden_channels": 2, "num_heads": 1})
    assert drawn["model.options.hidden_channels"] == 60  # 62.4 to the nearest multiple of 10
    assert found.changes({"hidden_channels": 2})["model.options.hidden_channels"] == 64


def test_list_values_are_scaled_elementwise() -> None:
    base = load_recipe("tune-tfswa_unet")  # depths 1 and 1, widths 8 and 16, 2 heads
    dims = "{times: [0.5, 1, 1.3], multiple_of: [model.options.num_heads]}"
    text = (
        f"width: {{model.options.dims: {dims}}}\ndepth: {{model.options.depths: {{plus: [0, 1]}}}}"
    )
    found = parse_space(base, text)
    assert found.base_params == {"dims": 1, "depths": 0}
    assert found.changes({"dims": 0, "depths": 1}) == {
        "model.options.dims": [4, 8],
        "model.options.depths": [2, 2],
    }
    assert found.changes({"dims": 2})["model.options.dims"] == [10, 20]  # of 10.4 and 20.8


def test_equal_values_are_merged(base: Recipe) -> None:
    found = parse_space(base, "depth: {model.options.num_layers: {times: [0.1, 0.5, 1]}}")
    assert len(found.dimensions[0].extremes) == 2


@pytest.mark.parametrize("name", ["tune-melroformer", "msrkit"])
def test_the_base_of_the_space_is_the_recipe(name: str) -> None:
    recipe = load_recipe(name)
    found = built_in_space("melroformer", recipe)
    assert found.base_params is not None
    again = found.recipe(found.changes(found.base_params))
    assert {**again.to_dict(), "model": None} == {**recipe.to_dict(), "model": None}
    kind = {"num_heads": 4, "window_size": 2048, "hop_size": 512, "num_layers": 12}
    kind |= {"hidden_channels": 128} | recipe.model.options
    assert again.model.options == kind


def test_keys_missing_in_the_recipe_are_skipped_or_refused(base: Recipe) -> None:
    text = "{a: {losses.multi_mel: {times: [1, 2]}}, b: {optimizer.lr: {times: [1, 2]}}}"
    built_in = parse_space(base, text, own=True)
    assert [dimension.name for dimension in built_in.dimensions] == ["lr"]
    assert built_in.left_out == ("losses.multi_mel: the recipe has no such value",)
    with pytest.raises(ConfigError, match=r"losses.multi_mel: .*Use choice or between"):
        parse_space(base, text)


def test_built_in_spaces_fit_recipes_with_augmentation() -> None:
    found = built_in_space("melroformer", load_recipe("melroformer-small"))
    assert "augmentation" not in found.categories
    assert {"width", "depth", "heads", "stft", "learning_rate"} <= found.categories


def test_all_mistakes_are_reported_together(base: Recipe) -> None:
    text = """
    width: {model.options.hidden_channels: {times: [1, 2], choice: [3]}}
    depth: {model.options.num_layers: {tims: [1, 2]}}
    rate: {optimizer.lr: {times_between: [5, 2], log: true}}
    stft: {together: [{a: 1}, {b: 2}]}
    augmentation: 7
    """
    with pytest.raises(ConfigError) as caught:
        parse_space(base, text)
    assert len(caught.value.mistakes) == 6  # a misspelled key counts as two
    message = str(caught.value)
    assert "exactly one of choice" in message
    assert "did you mean 'times'" in message
    assert "a lower and an upper bound" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {optimizer.lrr: {choice: [1, 2]}}", "unknown key 'lrr', did you mean 'lr'"),
        ("a: {optimizer.lr: {choice: [0.1, -1.0]}}", "lr and muon_lr must be above 0"),
        ("a: {model.options.num_heads: {choice: [2, 7]}}", "even multiple of num_heads"),
        ("a: {seed.x: {choice: [1, 2]}}", "seed.x: seed holds a value, not keys"),
        ("[1, 2]", "must map categories to keys"),
        ("a: {b: [", "not valid YAML"),
    ],
)
def test_values_that_cannot_be_trained_are_refused(base: Recipe, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_space(base, text)


def test_ambiguous_short_names_become_full_keys(base: Recipe) -> None:
    text = "a: {optimizer.lr: {times: [1, 2]}, adversary.optimizer.lr: {times: [1, 2]}}"
    names = [dimension.name for dimension in parse_space(base, text).dimensions]
    assert names == ["optimizer.lr", "adversary.optimizer.lr"]


def test_a_recipe_of_another_network_is_refused(base: Recipe) -> None:
    with pytest.raises(ConfigError, match=r"trains melroformer, not melrnn.*stem tune melroformer"):
        require_architecture(base, "melrnn")


def test_a_missing_space_file() -> None:
    with pytest.raises(ConfigError, match=r"--space none.yaml: it cannot be read \(No such file"):
        space_text("melrnn", "none.yaml")


def test_the_documented_example_is_valid(base: Recipe) -> None:
    """The example is the first YAML block of docs/tuning.md."""
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs/tuning.md").read_text("utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    assert {*yaml.safe_load(text)} == parse_space(base, text).categories
