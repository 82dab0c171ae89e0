"""Presets of the catalogue: which models they load, and how their stems are weighted.

Truth by hand, with presets of stub networks in place of the catalogue's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model_zoo.catalogue.public import Preset, presets
from model_zoo.errors import ConfigError, UnknownNameError
from stemcli.engine.members import members_of, models_to_load
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from tests.stemcli.engine.stubs import Scaling, noise

RATE = 8000
ONE_HOT = Preset("bag", ("one", "two"), ("a", "b"), ((1, 0), (0, 1)))
MIXED = Preset("mixed", ("one", "two"), ("a", "b"), ((3, 1), (1, 0)))
PLAIN = Preset("plain", ("one", "two"), ("a", "b"), method="max", domain="spectra")
LACKING = Preset("lacking", ("one", "two"), ("a", "c"))


class Raw(Scaling):
    """Stem k is (k + 1) / 10 of the song, and stays so."""

    adds_up = False


Loader = Callable[[str], LoadedModel]


@pytest.fixture(autouse=True)
def own_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {each.name: each for each in (ONE_HOT, MIXED, PLAIN, LACKING)}
    monkeypatch.setattr("stemcli.engine.members.find_preset", known.get)


def separated(loads: list[str], **options: object) -> dict[str, np.ndarray]:
    def load(name: str) -> LoadedModel:
        loads.append(name)
        return LoadedModel(name, Raw(stems=("a", "b") if name == "one" else ("b", "a")))

    chosen = Options.from_dict({"device": "cpu", "precision": "fp32", **options})
    return Session(chosen, load=load).separate_array(noise(500), RATE)


def test_karaoke_of_a_bag_runs_the_network_of_the_voice_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand: ``vocals`` of two, whose first stem it is, is 0.1 of the song; 0.9 is the rest."""
    bag = Preset("bag", ("one", "two"), ("drums", "vocals"), ((1, 0), (0, 1)))
    monkeypatch.setattr("stemcli.engine.members.find_preset", {"bag": bag}.get)
    loads: list[str] = []

    def load(name: str) -> LoadedModel:
        loads.append(name)
        return LoadedModel(name, Raw(stems=("vocals", "drums")))

    options = Options(model="bag", karaoke=True, device="cpu", precision="fp32")
    stems = Session(options, load=load).separate_array(noise(500), RATE)
    assert (loads, [*stems]) == (["two"], ["karaoke"])
    np.testing.assert_allclose(stems["karaoke"], 0.9 * noise(500), atol=1e-6)


def test_a_stem_of_a_bag_is_that_of_its_network() -> None:
    """By hand: ``a`` of one is 0.1; ``b`` of two, whose stems are in another order, is 0.1."""
    loads: list[str] = []
    stems = separated(loads, model="bag")
    assert loads == ["one", "two"]
    np.testing.assert_allclose(stems["a"], 0.1 * noise(500), atol=1e-6)
    np.testing.assert_allclose(stems["b"], 0.1 * noise(500), atol=1e-6)


def test_weights_of_a_stem_by_hand() -> None:
    """``a``: (3 * 0.1 + 1 * 0.2) / 4 = 0.125; ``b`` is that of one, 0.2."""
    stems = separated([], model="mixed")
    np.testing.assert_allclose(stems["a"], 0.125 * noise(500), atol=1e-6)
    np.testing.assert_allclose(stems["b"], 0.2 * noise(500), atol=1e-6)


@pytest.mark.parametrize("choice", [{"stems": "b"}, {"two_stems": "b"}])
def test_only_networks_that_a_stem_needs_are_loaded(choice: dict[str, str]) -> None:
    loads: list[str] = []
    stems = separated(loads, model="bag", **choice)
    assert loads == ["two"]
    np.testing.assert_allclose(stems["b"], 0.1 * noise(500), atol=1e-6)


def test_the_combination_of_a_preset_is_used() -> None:
    assert members_of(Options(model="plain")).combine == "max-spectrum"


def test_a_stem_that_no_member_gives_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no model of one, two gives c"):
        separated([], model="lacking")


def test_an_unknown_stem_of_a_preset_is_named() -> None:
    with pytest.raises(UnknownNameError, match="Unknown stem 'drums'"):
        members_of(Options(model="bag", stems="drums"))


@pytest.mark.parametrize(
    "options",
    [
        {"model": ("bag", "one")},
        {"model": "bag", "weights": (1,)},
        {"model": "bag", "combine": "max"},
    ],
)
def test_a_preset_stands_alone(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="bag is a preset, which has its own models, weights and"):
        members_of(Options.from_dict(options))


def test_models_of_all_steps_are_loaded_once() -> None:
    text = """
[[steps]]
model = "bag"
outputs = { a = "x" }
[[steps]]
model = ["one", "three"]
input = "x"
outputs = { a = "y" }
"""
    assert models_to_load(Options(workflow=text)) == ("one", "three")


@pytest.mark.parametrize("name", presets())
def test_published_presets_can_be_combined(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: every stem of a preset alone needs at least one of its members."""
    monkeypatch.setattr("stemcli.engine.members.find_preset", presets().get)
    preset = presets()[name]
    for stem in preset.stems:
        chosen = members_of(Options(model=name, stems=stem))
        assert {*chosen.models} <= {*preset.members}
        assert chosen.models
