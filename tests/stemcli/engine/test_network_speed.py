"""Speeds of networks: measured once, kept by machine, and never a reason to fail."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from model_zoo.errors import ConfigError
from stemcli.engine import network_speed
from stemcli.engine.device import machine
from stemcli.engine.network_speed import FILE, NetworkSpeeds
from tests.model_zoo.small import SMALL_CONFIG

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_speed_is_the_time_of_a_pass_by_the_duration_of_its_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand: two passes of 3 s and 1 s of work for a chunk of 8192 samples at 16 kHz."""
    clock = iter([0.0, 1.9, 10.0, 11.0])
    monkeypatch.setattr(network_speed.time, "perf_counter", lambda: next(clock))
    assert NetworkSpeeds(CPU).measure("melrnn", SMALL_CONFIG) == pytest.approx(1.0 / 0.512)
    clock = iter([0.0, 3.0])  # long enough not to be repeated
    assert NetworkSpeeds(CPU).measure("melrnn", SMALL_CONFIG) == pytest.approx(3.0 / 0.512)


def test_a_speed_is_kept_for_the_machine_and_the_size(cache: Path) -> None:
    speeds = NetworkSpeeds(CPU)
    assert speeds.kept("melrnn", SMALL_CONFIG) is None
    began = time.perf_counter()
    measured = speeds.measure("melrnn", SMALL_CONFIG)
    assert 0 < measured < (time.perf_counter() - began) / 0.512
    assert NetworkSpeeds(CPU).kept("melrnn", SMALL_CONFIG) == pytest.approx(measured, abs=1e-6)
    assert speeds.kept("melrnn", {**SMALL_CONFIG, "num_layers": 2}) is None
    (place,) = json.loads((cache / FILE).read_text())
    assert place == f"{machine(CPU)}, cpu, PyTorch {torch.__version__}"


def test_names_of_stems_do_not_change_the_size() -> None:
    """Law: a network with other names, and as many, has the same speed."""
    speeds = NetworkSpeeds(CPU)
    measured = speeds.measure("melrnn", {**SMALL_CONFIG, "stems": ["vocals"]})
    renamed = speeds.kept("melrnn", {**SMALL_CONFIG, "stems": ["drums"]})
    assert renamed == pytest.approx(measured, abs=1e-6)
    assert speeds.kept("melrnn", {**SMALL_CONFIG, "stems": ["drums", "bass"]}) is None


def test_measuring_does_not_advance_random_numbers() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    NetworkSpeeds(CPU).measure("melrnn", SMALL_CONFIG)
    assert torch.rand(1) == expected


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 3}', '{"x": {"y": "z"}}', "\xff"])
def test_a_damaged_file_holds_nothing_and_is_replaced(text: str, cache: Path) -> None:
    cache.mkdir()
    (cache / FILE).write_bytes(text.encode("latin-1"))
    speeds = NetworkSpeeds(CPU)
    assert speeds.kept("melrnn", SMALL_CONFIG) is None
    speeds.measure("melrnn", SMALL_CONFIG)
    assert speeds.kept("melrnn", SMALL_CONFIG) is not None


def test_a_cache_that_cannot_be_written_keeps_nothing(cache: Path) -> None:
    cache.write_text("a file in place of the folder")
    assert NetworkSpeeds(CPU).measure("melrnn", SMALL_CONFIG) > 0
    assert NetworkSpeeds(CPU).kept("melrnn", SMALL_CONFIG) is None


def test_options_that_contradict_each_other_are_an_error() -> None:
    with pytest.raises(ConfigError):
        NetworkSpeeds(CPU).measure("melrnn", {**SMALL_CONFIG, "num_groups": 3})
