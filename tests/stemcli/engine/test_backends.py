"""Backends beside torch. Reference: torch's stems of the same song."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from model_zoo.errors import DeviceError, ExportError, MissingExtraError, UsageError
from model_zoo.export import extras
from stemcli.engine import runner
from stemcli.engine.backends import base
from stemcli.engine.backends.base import BACKENDS, require_backend
from stemcli.engine.backends.choice import choose_backend
from stemcli.engine.backends.exported import ExportedBackend
from stemcli.engine.backends.torch import CompiledBackend
from stemcli.engine.device import Precision
from stemcli.engine.events import ModelLoaded, Notice
from stemcli.engine.options import BackendOption, Options
from stemcli.engine.runner import ModelRunner
from tests.model_zoo.blocks.weights import pattern
from tests.model_zoo.small import small_network
from tests.stemcli.engine.sessions import RATE, make_session, read, song
from tests.stemcli.engine.stubs import BrokenInBf16, noise

CPU = torch.device("cpu")
FP32 = Precision("fp32", "requested")


class FailsLater:
    """A backend that computes two batches and then fails.

    Args:
        backend: computes the batches.
    """

    def __init__(self, backend: Any) -> None:
        self.backend, self.left = backend, 2

    def run(self, items: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("node 7 is not supported\nby this version")
        stems: Tensor = self.backend.run(items)
        return stems


@pytest.fixture
def failing_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``openvino`` fail in the middle of a song."""

    def opened(name: str, *args: Any) -> Any:
        torch_engine = open_backend("torch", *args)
        return torch_engine if name == "torch" else FailsLater(torch_engine)

    open_backend = base.open_backend
    monkeypatch.setattr(runner, "open_backend", opened)
    monkeypatch.setattr(extras, "find_spec", lambda name: True)


@pytest.mark.usefixtures("failing_engines")
def test_torch_separates_the_rest_if_an_engine_fails(tmp_path: Path) -> None:
    path = song(tmp_path / "song.wav", 4.0)
    events: list[Any] = []
    expected = make_session(tmp_path / "torch", segment=0.5).separate_file(path)
    session = make_session(
        tmp_path / "other", on_event=events.append, segment=0.5, backend="openvino"
    )
    found = session.separate_file(path)
    for stem, wave in read(found.outputs).items():
        np.testing.assert_array_equal(wave, read(expected.outputs)[stem])
    notice = "openvino failed (node 7 is not supported), so torch separates the rest"
    assert [each.message for each in events if isinstance(each, Notice)] == [notice]
    (loaded,) = (each for each in events if isinstance(each, ModelLoaded))
    assert (loaded.backend, loaded.backend_reason) == ("openvino", "requested")


@pytest.mark.usefixtures("failing_engines")
def test_a_network_that_cannot_be_exported_runs_in_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, *args: Any) -> Any:
        if name == "torch":
            return open_backend(name, *args)
        raise ExportError("torch cannot export this network: no such operator")

    open_backend = base.open_backend
    monkeypatch.setattr(runner, "open_backend", refuse)
    events: list[Any] = []
    session = make_session(tmp_path / "out", on_event=events.append, backend="onnxruntime")
    session.separate_file(song(tmp_path / "song.wav"))
    (notice,) = (each for each in events if isinstance(each, Notice))
    assert notice.message.startswith("onnxruntime failed (torch cannot export this network: no")


@pytest.mark.usefixtures("failing_engines")
def test_torch_repairs_what_an_engine_computes_as_nan() -> None:
    """The other backend computes like torch in bfloat16, in which this network gives NaN."""
    items = noise(16, 1).reshape(1, 1, 16)
    reduced = Precision("bf16", "requested")
    network = ModelRunner(BrokenInBf16(), CPU, reduced, backend="openvino")
    np.testing.assert_array_equal(network.separate(items, [0.0])[:, 0], items)
    assert not network.take_notice()


def test_an_exported_core_gets_one_item_at_a_time() -> None:
    separator = small_network()
    batches: list[int] = []

    def core(features: Tensor) -> Tensor:
        batches.append(len(features))
        stems: Tensor = separator.core(features)
        return stems

    items = pattern(3, separator.channels, 4096)
    found = ExportedBackend(separator, core).run(items)
    with torch.inference_mode():
        torch.testing.assert_close(found, separator(items))
    assert batches == [1, 1, 1], "the separator itself has its own core"


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("onnxruntime", "onnxruntime", "onnx"),
        ("onnxruntime", "onnxscript", "onnx"),
        ("openvino", "openvino", "openvino"),
        ("openvino", "onnx", "openvino"),
    ],
)
def test_a_missing_package_names_its_extra(
    name: Any, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda found: None if found == package else True)
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed.*\[{extra}\]"):
        require_backend(name, CPU, "fp32")


def test_other_engines_compute_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: True)
    with pytest.raises(DeviceError, match="on the processor, not on cuda"):
        require_backend("onnxruntime", torch.device("cuda"), "fp32")
    require_backend("torch", torch.device("cuda"), "fp16")


@pytest.mark.parametrize(
    ("name", "precision", "sentence"),
    [
        ("onnxruntime", "bf16", "onnxruntime computes in fp32, not in bf16"),
        ("openvino", "fp16", "openvino computes in fp32 or bf16, not in fp16"),
    ],
)
def test_engines_refuse_precisions_that_they_lack(
    name: Any, precision: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: True)
    with pytest.raises(UsageError, match=f"{sentence}. Use precision='fp32', or backend='torch'"):
        choose_backend(name, precision, CPU, "")
    assert choose_backend("onnxruntime", "auto", CPU, "")[1].name == "fp32"


def test_a_compiled_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler returns a module, which must not become a part of the network."""
    compiled: list[torch.nn.Module] = []
    called: list[int] = []

    class Compiled(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, features: Tensor) -> Tensor:
            called.append(len(features))
            stems: Tensor = self.network(features)
            return stems

    def compile_core(network: torch.nn.Module, **options: Any) -> torch.nn.Module:
        compiled.append(network)
        return Compiled(network)

    monkeypatch.setattr(torch, "compile", compile_core)
    separator = small_network()
    names = [*separator.state_dict()]
    items = pattern(2, separator.channels, 4096)
    found = CompiledBackend(separator, CPU, FP32).run(items)
    with torch.inference_mode():
        torch.testing.assert_close(found, separator(items))
    assert compiled == [separator.core]
    assert called == [2], "once, and not by the separator itself"
    assert [*separator.state_dict()] == names


def test_auto_is_torch_where_nothing_was_measured() -> None:
    backend, precision = choose_backend("auto", "fp32", CPU, "")
    assert (backend.name, precision) == ("torch", FP32)


def test_options_name_every_engine() -> None:
    from typing import get_args

    assert get_args(BackendOption) == ("auto", *BACKENDS)
    assert Options().backend == "auto"


def test_engines_are_imported_where_they_are_used() -> None:
    """Also with every one of them installed, a separation imports none."""
    code = """
import sys, numpy as np
from stemcli import separate
separate(np.zeros((4096, 2), np.float32), sample_rate=44100, model="melroformer")
backends = {"onnx", "onnxruntime", "onnxscript", "openvino", "torch._dynamo"}
print(sorted(backends & {*sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.export
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_engines_separate_a_song_on_the_command_line(name: str, tmp_path: Path) -> None:
    """The exported file is kept, and the second song uses it."""
    assert importlib.util.find_spec(name), "the extra is installed"
    song(tmp_path / "song.wav", 6.0)
    environment = {**os.environ, "STEM_CACHE": str(tmp_path / "cache"), "JAXTYPING_DISABLE": "1"}

    def separate(backend: str, out: str) -> list[dict[str, Any]]:
        options = ("-m", "melroformer", "--precision", "fp32", "--bit-depth", "32f", "--json")
        command = [sys.executable, "-m", "stemcli", "separate", "song.wav", "-o", out, *options]
        done = subprocess.run(
            [*command, "--backend", backend],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    separate("torch", "torch")
    events = separate(name, "first")
    assert [each["backend"] for each in events if each["event"] == "model_loaded"] == [name]
    assert not [each for each in events if each["event"] == "notice"]
    files = [*(tmp_path / "cache").rglob("*.onnx")]
    assert len(files) == 1
    before = files[0].stat().st_mtime_ns
    separate(name, "again")
    assert files[0].stat().st_mtime_ns == before
    for stem in ("vocals", "instrumental"):
        expected, rate = soundfile.read(tmp_path / f"torch/song/{stem}.wav")
        found, _ = soundfile.read(tmp_path / f"first/song/{stem}.wav")
        assert rate == RATE
        assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
