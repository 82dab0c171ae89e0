"""Exported cores of all architectures. Reference: torch, run on the same mixture."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.blocks.convnext import ConvNeXt2DBlock
from model_zoo.blocks.sparse_compression import from_modulation_spectrum, modulation_spectrum
from model_zoo.errors import ExportError, MissingExtraError, OutputError, UsageError
from model_zoo.export import extras
from model_zoo.export.core import LARGEST_ERROR, Example, checked_error
from model_zoo.export.export import Format, Precision, check_request
from model_zoo.export.onnx import group_norm
from model_zoo.ops.tensors import ceil_div
from model_zoo.registry import ARCHITECTURES
from stemcli.cli.export import FORMATS as FORMATS_OF_COMMAND
from stemcli.cli.export import PRECISIONS
from tests.model_zoo.blocks.weights import fill, pattern

FORMATS = ("onnx", "openvino", "torchscript")

FAST = {"melroformer", "open_unmix"}
"""One with attention and one with an LSTM; the others take minutes."""


@pytest.mark.export
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
    described = json.loads((tmp_path / f"{name}.onnx.json").read_text())
    assert described["architecture"] == name
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{ending}"
        for ending in ("onnx", "xml", "bin", "pt", *(f"{to}.json" for to in FORMATS))
    }


@pytest.fixture
def all_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: True)


@pytest.mark.usefixtures("all_packages")
@pytest.mark.parametrize(
    ("to", "file"),
    [("onnx", "net.onnx"), ("openvino", "net.bin"), ("torchscript", "net.torchscript.json")],
)
def test_files_of_an_earlier_export_are_kept(to: Any, file: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    with pytest.raises(OutputError, match=f"{file} exists. Add overwrite, or "):
        check_request(to, tmp_path, "net", "fp32", overwrite=False)
    check_request(to, tmp_path, "net", "fp32", overwrite=True)
    check_request("tensorrt", tmp_path, "net", "fp32", overwrite=False)


def test_torchscript_has_no_half_precision(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="TorchScript files have float32 weights"):
        check_request("torchscript", tmp_path, "net", "fp16", overwrite=False)


@pytest.mark.parametrize(
    ("to", "package", "extra"),
    [("onnx", "onnxscript", "export"), ("openvino", "openvino", "openvino")],
)
def test_a_missing_package_is_named(
    to: Any, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else True)
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed.*\[{extra}\]"):
        check_request(to, tmp_path, "net", "fp32", overwrite=False)
    check_request("torchscript", tmp_path, "net", "fp32", overwrite=False)


def test_a_core_that_computes_something_else_is_refused() -> None:
    """By hand: 1.001 times the output differs by 1e-3 of it."""
    example = Example((torch.ones(3),), (torch.full((3,), 2.0),))

    def run(factor: float) -> Any:
        return lambda inputs: [2 * factor * inputs[0]]

    assert checked_error(run(1 + 2e-5), [example], 1e-4) == pytest.approx(2e-5, rel=0.02)
    with pytest.raises(ExportError, match=r"differs from the original by 1\.0e-03 of its output"):
        checked_error(run(1.001), [example], 1e-4)
    with pytest.raises(ExportError, match="differs"):
        checked_error(run(math.nan), [example], 1e-4)


@pytest.mark.parametrize("frames", [2, 7, 64, 501])
def test_the_fourier_basis_is_that_of_the_fft(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported networks multiply with it in place of torch's FFT."""
    plane = pattern(2, 3, 5, frames)
    expected = modulation_spectrum(plane)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    found = modulation_spectrum(plane)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(from_modulation_spectrum(found, frames), plane, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(9, 15), (10, 16)])
def test_exported_transposed_convolutions_have_the_size_of_others(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = fill(ConvNeXt2DBlock(5, (2, 2), 6, 4, "transposed"))
    x = pattern(1, 6, 5, 8)
    expected = block(x, size)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(block(x, size), expected)


@pytest.mark.parametrize("shape", [(2, 8, 30), (1, 8, 5, 7), (3, 8)])
@pytest.mark.parametrize("is_affine", [True, False])
def test_group_norm_of_exported_networks(shape: tuple[int, ...], is_affine: bool) -> None:
    x = 3 + pattern(*shape)
    scales = (pattern(8, phase=1), pattern(8, phase=2)) if is_affine else (None, None)
    for groups in (1, 4, 8):
        if len(shape) == 2 and groups == 8:
            continue  # torch refuses groups of one value
        expected = F.group_norm(x, groups, *scales)
        torch.testing.assert_close(group_norm(x, groups, *scales), expected, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 10**6), st.integers(1, 10**4))
def test_ceil_div(count: int, size: int) -> None:
    assert ceil_div(count, size) == math.ceil(Fraction(count, size))


def test_commands_name_every_format() -> None:
    assert get_args(Format) == FORMATS_OF_COMMAND
    assert get_args(Precision) == PRECISIONS
