"""Exported cores of all architectures. Reference: torch, run on the same mixture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_zoo.export.core import LARGEST_ERROR
from model_zoo.registry import ARCHITECTURES

FORMATS = ("onnx", "openvino", "torchscript")

FAST = {"melroformer", "open_unmix"}
"""One with attention and one with an LSTM; the others take minutes."""

pytestmark = pytest.mark.export


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ARCHITECTURES],
)
def test_exported_cores_give_the_stems_of_torch(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.model_zoo.export.exported_stems"]
    done = subprocess.run(
        [*command, str(tmp_path), name, *FORMATS],
        capture_output=True,
        text=True,
        env={**os.environ, "JAXTYPING_DISABLE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {
        line.split()[0]: [float(each) for each in line.split()[1:]]
        for line in done.stdout.splitlines()
    }
    assert {*found} == {*FORMATS}
    for to, errors in found.items():
        assert max(errors) < LARGEST_ERROR, (to, errors)
    described = json.loads((tmp_path / f"{name}.json").read_text())
    assert described["architecture"] == name
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{ending}" for ending in ("onnx", "xml", "bin", "pt", "json")
    }
