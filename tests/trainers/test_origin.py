"""Starting a run from trained weights."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo import registry, weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.resolve import BEST
from model_zoo.errors import NoModelError
from stemcli.engine.models import load_model
from tests.trainers.commands import RATE
from tests.trainers.frames import with_objective
from tests.trainers.runs import CPU, run_steps
from trainers.config import ModelRecipe, Recipe
from trainers.loop.state import TrainState, load_pretrained


def test_a_run_starts_from_a_trained_model(recordings: Path, recipe: Recipe) -> None:
    run_steps(recipe, 3, recordings, recordings / "first")
    trained = recordings / "first" / BEST
    options = recipe.model.options | {"segment": 2 * RATE, "expander_db": -20.0}
    longer = replace(recipe, seed=8, model=replace(recipe.model, options=options))
    state = TrainState.fresh(longer, CPU, str(trained))
    expected = resolve.load(trained).state_dict()
    for network in (state.separator, state.ema.model):
        assert all(value.equal(expected[name]) for name, value in network.state_dict().items())
    assert state.separator.segment == 2 * RATE
    assert run_steps(longer, 1, recordings, recordings / "second", origin=str(trained))


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("melroformer", {"num_heads": 4}, "Try: --set model.options.num_heads=2$"),
        (
            "melroformer",
            {"hidden_channels": 32, "mask_activation": "none"},
            "Try: --set model.options.mask_activation=sigmoid "
            "--set model.options.hidden_channels=16$",
        ),
        ("melrnn", {"num_groups": 2}, "is melroformer, but the recipe trains melrnn"),
    ],
)
def test_an_origin_of_another_network_says_what_to_type(
    recordings: Path, recipe: Recipe, architecture: str, options: dict[str, Any], message: str
) -> None:
    trained = recordings / "net.safetensors"
    weights.save(trained, TrainState.fresh(recipe, CPU).separator)
    common = {key: value for key, value in recipe.model.options.items() if key != "num_heads"}
    heads = {"num_heads": 2} if architecture == "melroformer" else {}
    mask_options = {"mask_mult": "elementwise", "mask_activation": "none"} if not heads else {}
    model = ModelRecipe(architecture, {**common, **heads, **mask_options, **options})
    with pytest.raises(NoModelError, match=message):
        TrainState.fresh(replace(recipe, model=model), CPU, str(trained))


@pytest.mark.parametrize("architecture", sorted(registry.ARCHITECTURES))
def test_weight_independent_options_may_change(
    recordings: Path, recipe: Recipe, architecture: str
) -> None:
    kind = registry.architecture(architecture)
    trained = recordings / "net.safetensors"
    weights.save(trained, registry.build(architecture, kind.small_options))
    defaults = {field.name: field.default for field in fields(kind.Config)}
    changed = {name: defaults[name] for name in kind.weight_independent_options if name != "stems"}
    assert "segment" in changed
    network = registry.build(architecture, {**kind.small_options, **changed})
    load_pretrained(network, str(trained))
    assert all(map(torch.equal, network.parameters(), resolve.load(trained).parameters()))


def test_a_pretrained_network_is_fine_tuned_to_any_stems(recordings: Path, recipe: Recipe) -> None:
    """All weights are those of the origin, except the layer with a row for each mask."""
    run_steps(with_objective(recipe, "denoising"), 1, recordings, recordings / "pre")
    trained = resolve.load(str(recordings / "pre" / BEST)).state_dict()
    with pytest.raises(NoModelError, match="was pretrained by denoising and cannot separate yet"):
        load_model(str(recordings / "pre" / BEST))
    kept = {}
    for stems in (["instrumental"], ["vocals", "instrumental"]):
        separation = with_objective(recipe, "separation", stems=stems, dropout=0.3)
        state = TrainState.fresh(separation, CPU, str(recordings / "pre" / BEST))
        found = state.separator.state_dict()
        kept[len(stems)] = {name for name, value in trained.items() if value.equal(found[name])}
    assert kept[1] == {*trained}
    assert kept[1] - kept[2] == {"network.out.weight_dw"}
    again = with_objective(recipe, "separation")
    assert run_steps(again, 1, recordings, recordings / "tuned", origin=str(recordings / "pre"))
    assert load_model(str(recordings / "tuned" / BEST)).outputs == ("vocals",)
