"""Measured backends. Reference: rows written by hand, and torch itself."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stemcli.engine.backends import measuring
from stemcli.engine.backends.choice import choose_backend
from stemcli.engine.backends.measuring import FILE, Measurement, fastest, kept, measure_backends
from stemcli.engine.device import Precision, resolve_precision
from stemcli.engine.models import LoadedModel
from tests.model_zoo.small import small_network

CPU = torch.device("cpu")
ROWS = [
    Measurement("torch", "fp32", 4.0, math.inf),
    Measurement("torch", "bf16", 6.0, 45.0),
    Measurement("onnxruntime", "fp32", 7.0, 120.0),
    Measurement("openvino", "fp32", 8.0, 120.0),
    Measurement("openvino", "bf16", 12.0, 39.9),
    Measurement("openvino", "bf16", 20.0, 90.0, "it ran out of paper"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("precision", "installed", "expected"),
    [
        ("auto", ("onnxruntime", "openvino"), ("openvino", "fp32")),
        ("auto", ("onnxruntime",), ("onnxruntime", "fp32")),
        ("auto", (), ("torch", "bf16")),
        ("bf16", ("openvino",), ("torch", "bf16")),
        ("fp32", (), ("torch", "fp32")),
    ],
)
def test_the_fastest_that_is_close_enough(
    precision: str, installed: tuple[str, ...], expected: tuple[str, str]
) -> None:
    best = fastest(ROWS, precision, lambda name: name in ("torch", *installed))
    assert best
    assert (best.backend, best.precision) == expected


def test_nothing_is_fastest_of_nothing() -> None:
    assert fastest([], "auto", lambda name: True) is None
    assert fastest(ROWS, "fp16", lambda name: True) is None


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """A network that only torch can run."""
    monkeypatch.setattr(measuring, "is_installed", lambda name: name == "torch")
    return LoadedModel("net", small_network(), sha256="abc")


def test_measurements_are_kept_for_these_weights(model: LoadedModel, cache: Path) -> None:
    seen: list[Measurement] = []
    found = measure_backends(model, CPU, seen.append)
    precisions = dict.fromkeys(("fp32", resolve_precision("auto", CPU).name))
    assert [(one.backend, one.precision) for one in found] == [("torch", one) for one in precisions]
    assert seen == found
    assert all(one.speed > 0 for one in found)
    assert found[0].level == math.inf
    assert kept(CPU, "abc") == found
    assert kept(CPU, "def") == []
    assert kept(CPU, "") == []
    best = max((one for one in found if one.is_good), key=lambda one: one.speed)
    backend, precision = choose_backend("auto", "auto", CPU, "abc")
    assert (backend.name, precision.name) == ("torch", best.precision)
    assert backend.reason == f"the fastest measured here, {best.speed:.1f}x real time"
    requested = Precision("fp32", "requested")
    assert choose_backend("torch", "fp32", CPU, "abc")[1] == requested


def test_an_engine_that_fails_is_measured_as_failed(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> Any:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(measuring, "is_installed", lambda name: name == "onnxruntime")
    monkeypatch.setattr("stemcli.engine.backends.exported.open_exported", refuse)
    *_, failed = measure_backends(model, CPU)
    assert (failed.backend, failed.is_good) == ("onnxruntime", False)
    assert "no such instruction" in failed.failure
    assert kept(CPU, "abc")[-1] == failed


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "{", "null"])
def test_a_damaged_file_holds_nothing(content: str, cache: Path, model: LoadedModel) -> None:
    (cache / FILE).write_text(content)
    assert kept(CPU, "abc") == []
    measure_backends(model, CPU)
    assert kept(CPU, "abc")


def test_rows_of_another_version_are_ignored(model: LoadedModel, cache: Path) -> None:
    measure_backends(model, CPU)
    every = json.loads((cache / FILE).read_text())
    (place,) = every
    every[place]["abc"] = [{"backend": "torch"}]
    (cache / FILE).write_text(json.dumps(every))
    assert kept(CPU, "abc") == []


def test_the_chunk_has_tones_in_every_channel() -> None:
    chunk = measuring.tones(2, 8000, 8000)
    assert chunk.shape == (1, 2, 8000)
    assert chunk.dtype == np.float32
    assert 0.05 < float(np.abs(chunk).max()) < 2
    spectrum = np.abs(np.fft.rfft(chunk[0]))  # a bin is 1 Hz
    assert (spectrum[:, 218:222].max(1) > 20 * np.median(spectrum, axis=1)).all()
