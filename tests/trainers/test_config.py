"""Recipes: how they are merged, changed and refused, by the rules in the module docstring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from model_zoo import registry
from model_zoo.errors import ConfigError, UnknownNameError
from tests.trainers.runs import FULL
from trainers.loop.state import ensemble_spec
from trainers.loop.step import TrainingTask
from trainers.recipes.loading import load_recipe, recipe_names

INSTRUMENTAL = ("frame_transformer", "frame_transformer-pretrain", "voxaug")
"""Recipes whose target is not the vocals."""


@pytest.mark.parametrize("name", recipe_names())
def test_bundled_recipes_build(name: str) -> None:
    recipe = load_recipe(name)
    with torch.device("meta"):
        network = registry.build(recipe.model.architecture, recipe.model.options)
    target = "instrumental" if name in INSTRUMENTAL else "vocals"
    assert (target if network.role == "stems" else "sound") in network.stems
    assert recipe.model.residual not in network.stems
    names = recipe.supervised_losses.keys() - {*network.auxiliary_loss_names}
    assert TrainingTask.of(recipe, network, FULL).objective.losses.keys() == names
    members = ensemble_spec(recipe, network.sample_rate).members
    assert len(members) == {"melroformer-gan": 4, "msrkit": 1}.get(name, 0)


def test_a_loss_of_another_network_says_which_network() -> None:
    with pytest.raises(ConfigError, match=r"divergence is only provided by spectrogram_net_vae"):
        load_recipe("quick", ("losses.divergence=1",))


def test_a_wrong_objective_reports_no_unknown_losses() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("quick", ("objective.name=phase",))
    (mistake,) = caught.value.mistakes
    assert mistake.endswith("Try: --set objective.name=separation")


@pytest.mark.parametrize("name", ["tfswa_unet", "multi_scale_tfswa", "lightweight_tfswa"])
def test_clips_and_segments_fill_whole_windows(name: str) -> None:
    """Padding would reach the output of these networks, so frames must fill whole windows."""
    recipe = load_recipe(name)
    with torch.device("meta"):
        network = registry.build(recipe.model.architecture, recipe.model.options)
    config = network.config.to_dict()
    unit = config["attention_window"] * 2 ** (len(config["dims"]) - 1)
    for samples in (round(recipe.data.clip_seconds * network.sample_rate), network.segment):
        assert (1 + samples // config["hop_size"]) % unit == 0


def test_changes_override_the_base(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base: melroformer-small\nloop: {batch_size: 7}\n")
    changed, base = load_recipe(str(file)), load_recipe("melroformer-small")
    assert changed.loop.batch_size == 7
    assert changed.loop.checkpoint_every == base.loop.checkpoint_every
    assert changed.model == base.model
    assert (changed.name, base.name) == ("mine", "melroformer-small")


def test_set_reaches_nested_values() -> None:
    recipe = load_recipe("melroformer-small", ("schedule.steps=12", "model.options.num_layers=1"))
    assert recipe.schedule.steps == 12
    assert recipe.model.options["num_layers"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loop.batchsize=2", "did you mean 'batch_size'"),
        ("loop.batch_size=many", "batch_size must be a whole number, found 'many'"),
        ("data.voices.silent=0.99", "add up to at most 1"),
        ("data.voices.level=[3, -3]", "lower and an upper bound"),
        ("data.voices.level=[1", "--set: data.voices.level=.*not valid YAML"),
        ("data.clip_seconds=0", "data.clip_seconds must be above 0"),
        ("data.voices.second_voice=1.5", "share between 0 and 1"),
        ("data.voices.speed=1", "speed must be 0 or more and below 1"),
        ("data.voices.effects=-1", "effects must be 0 or more"),
        ("data.voices.vocals=[{weight: 2}]", "data.voices.vocals: file must be named"),
        ("data.voices.vocals=[{file: a, weight: 0}]", "weight of a must be above 0"),
        ("optimizer.lr=0", "lr and muon_lr must be above 0"),
        ("optimizer.max_grad_norm=0", "max_grad_norm must be above 0"),
        ("optimizer.weight_decay=-1", "weight_decay must be 0 or more"),
        ("schedule.steps=0", "steps must be 1 or more"),
        ("schedule.warmup=-1", "warmup must be 0 or more"),
        ("schedule.decay=2", "decay must be a share"),
        ("loop.checkpoint_every=0", "accumulation_steps and checkpoint_every must be 1 or more"),
        ("loop.accumulation_steps=2", "accumulation_steps must divide batch_size=3"),
        ("loop.ema_decay=1", "ema_decay must be 0 or more and below 1"),
        ("loop.num_workers=-1", "workers must be 0 or more"),
        ("losses={}", "losses must name at least one"),
        ("losses.waveform_l1=-1", "losses.waveform_l1 must be 0 or more"),
        ("losses.waveform_l1=.nan", "losses.waveform_l1 must be finite"),
        ("optimizer.lr=.inf", "optimizer.lr must be finite"),
        ("data.voices.level=[0, .nan]", "data.voices.level.1 must be finite"),
        ("seed=-1", "seed must be 0 or more"),
        ("losses.waveform_l1=high", "losses must be keys with values"),
        ("loop", "must look like"),
        ("name.deep=1", "holds a value"),
    ],
)
def test_bad_changes_are_named(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("melroformer-small", (change,))


def test_all_mistakes_of_one_part_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("melroformer-small", ("data.voices.silent=2", "data.voices.level=[1]"))
    assert len(caught.value.mistakes) == 2


def test_mistakes_of_several_parts_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("melroformer-small", ("data.voices.silent=2", "loop.num_workers=-1", "seed=x"))
    assert [mistake.split(" ")[0] for mistake in caught.value.mistakes] == [
        "data.voices.silent",
        "loop.num_workers",
        "seed",
    ]


def test_unknown_keys_do_not_hide_other_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(
            "melroformer-small", ("loop.batchsize=2", "loop.ema_decay=3", "loop.num_workers=x")
        )
    assert caught.value.mistakes == [
        "loop: unknown key 'batchsize', did you mean 'batch_size'?",
        "loop.num_workers must be a whole number, found 'x'",
    ]
    with pytest.raises(ConfigError) as caught:
        load_recipe("melroformer-small", ("loop.batchsize=2", "loop.ema_decay=3"))
    assert caught.value.mistakes == [
        "loop: unknown key 'batchsize', did you mean 'batch_size'?",
        "loop.ema_decay must be 0 or more and below 1",
    ]


def test_all_bad_changes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe("melroformer-small", ("loop", "name.deep=1", "seed=[1"))
    first, second, third = caught.value.mistakes
    assert first == "'loop' must look like loop.batch_size=8"
    assert second == "name.deep: name holds a value, not keys"
    assert third.startswith("seed=[1: not valid YAML: ")


def test_the_saved_recipe_of_a_run_can_be_loaded(tmp_path: Path) -> None:
    """Reference: the recipe that the run was started with."""
    recipe = load_recipe("melroformer-small", ("optimizer.lr=1e-7", "seed=4"))
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=2))
    assert load_recipe(str(tmp_path / "recipe.json")) == recipe


def test_scientific_notation_is_a_number() -> None:
    assert load_recipe("melroformer-small", ("optimizer.lr=1e-3",)).optimizer.lr == 0.001
    assert load_recipe("melroformer-small", ("name=1e-x",)).name == "1e-x"


def test_a_base_is_relative_to_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    (folder / "base.yaml").write_text("base: melroformer-small\nseed: 5\n")
    (folder / "mine.yaml").write_text("base: base.yaml\nname: mine\n")
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("deep/mine.yaml")
    assert (recipe.seed, recipe.name) == (5, "mine")


def test_circular_bases_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: ../" + tmp_path.name + "/a.yaml\n")
    with pytest.raises(ConfigError, match="its bases form a loop"):
        load_recipe(str(tmp_path / "a.yaml"))


def test_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_recipe("melroformer-smal")
    assert str(caught.value) == (
        "Unknown recipe 'melroformer-smal': did you mean 'melroformer-small'? "
        "See: stem train --help"
    )


@pytest.mark.parametrize("text", ["- a\n- b\n", "key: [1,\n", "nothing.yaml"])
def test_files_that_are_not_recipes(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.yaml"
    if text != "nothing.yaml":
        file.write_text(text)
    with pytest.raises(ConfigError, match="recipe"):
        load_recipe(str(file))
