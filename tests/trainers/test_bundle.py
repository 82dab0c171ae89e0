"""Bundling the weights of a run. Reference: the network before bundling, bit for bit."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo import weights
from model_zoo.catalogue import cards as cards_module
from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import find
from tests.trainers.commands import RATE
from tests.trainers.runs import fresh
from trainers.config import Recipe

SCRIPT = Path(__file__).parents[2] / "docs/models/bundle.py"
CARD = {"name": "tiny", "description": "A test.", "residual": "instrumental", "licence": "MIT"}


@pytest.fixture
def bundle(recordings: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The functions of the script, with a run to read and an empty folder of bundled models."""
    network = fresh(recipe)[0].separator
    weights.save(recordings / "run" / "best.safetensors", network, half=True)
    monkeypatch.setattr(cards_module, "BUNDLED", recordings / "cards")
    monkeypatch.setenv("STEM_HOME", str(recordings / "zoo"))
    return runpy.run_path(str(SCRIPT))


def test_a_bundled_model_gives_the_same_estimates(bundle: dict[str, Any], recordings: Path) -> None:
    card = bundle["write"](recordings / "run", CARD)
    assert find("tiny") == card
    assert (card.architecture, card.outputs) == ("melroformer", ("vocals", "instrumental"))
    mixture = torch.sin(torch.arange(2 * RATE) ** 1.5 / 40).reshape(1, 2, RATE)
    before, after = resolve.load(recordings / "run" / "best.safetensors"), resolve.load("tiny")
    assert torch.equal(after(mixture), before(mixture))
    assert not torch.equal(after.band.pre_bandnet.weight, before.band.pre_bandnet.weight)


def test_bundling_can_set_the_expander_threshold(bundle: dict[str, Any], recordings: Path) -> None:
    bundle["write"](recordings / "run", CARD, expander_db=-16.0)
    assert resolve.load("tiny").config.to_dict()["expander_db"] == -16.0
