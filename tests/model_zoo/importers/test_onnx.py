"""Initializers of ONNX files become weights under the names of parameters.

Reference: files of torch's own exporter (tests/golden/onnx), and files written by hand from the
description of the format, whose tensors must come back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_zoo import weights
from model_zoo.errors import CheckpointError, NoModelError
from model_zoo.importers import convert, onnx_file
from tests.golden.onnx.make_onnx import FOLDER, MDX23C, build
from tests.model_zoo.importers.onnx_writer import field, initializer, model, node, varint, write
from tests.model_zoo.importers.published import NETWORKS, published_tensors

TINY = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.arange(2.0)}


def test_a_file_of_torch_comes_back(tmp_path: Path, zoo: Path) -> None:
    """Two equal parameters are one initializer and an operation that copies it."""
    card = convert(FOLDER / "mdx23c.onnx", name="mine", config=MDX23C.write_settings(tmp_path))
    assert (card.architecture, card.stems) == ("mdx23c", ("vocals", "instrumental"))
    found, network = weights.read(zoo / "mine.safetensors").tensors, build()
    assert found.keys() == network.state_dict().keys()
    assert all(torch.equal(found[name], x) for name, x in network.state_dict().items())


def test_folded_constants_are_refused_by_name(tmp_path: Path, zoo: Path) -> None:
    """The largest of them is a transposed matrix."""
    config = MDX23C.write_settings(tmp_path)
    expected = r"constants were folded in its export \(initializer onnx::MatMul_\d+\)"
    with pytest.raises(CheckpointError, match=expected):
        convert(FOLDER / "mdx23c_folded.onnx", name="mine", config=config)
    assert not zoo.exists()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_family_comes_back(name: str, tmp_path: Path, zoo: Path) -> None:
    """With a wrapper around the network, and constants of the graph beside its parameters."""
    published = NETWORKS[name]
    network = published.network()
    named = {f"model.{key}": x for key, x in published_tensors(network).items()}
    constants = {
        "onnx::Mul_12": torch.ones(700, 7),
        "/stft/Constant_output_0": torch.ones(3),
        "val_3": torch.tensor(2.0),
        "roi": torch.empty(0),
        "model.freq_indices": torch.arange(4),
    }
    heads = {"num_heads": 2} if name == "htdemucs" else {}
    path = write(tmp_path / "net.onnx", {**constants, **named})
    convert(path, name="mine", config=published.write_settings(tmp_path), **heads)
    found = weights.read(zoo / "mine.safetensors").tensors
    assert all(torch.equal(found[key], x) for key, x in network.state_dict().items())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("packs", [True, False])
def test_types_and_axes(kind: torch.dtype, packs: bool, tmp_path: Path) -> None:
    path, value = tmp_path / "net.onnx", TINY["a.weight"].to(kind)
    path.write_bytes(model([initializer("a.weight", value, packs=packs)]))
    tensors, notes = onnx_file.read(path)
    assert (tensors.keys(), notes) == ({"a.weight"}, {})
    assert tensors["a.weight"].dtype == kind
    assert torch.equal(tensors["a.weight"], value)


def test_values_may_be_numbers_in_a_row(tmp_path: Path) -> None:
    """By hand: 1.0 and -2.0 in the field ``float_data``."""
    values = b"\0\0\x80\x3f\0\0\0\xc0"
    content = field(1, 2) + field(2, 1) + field(8, b"a.bias") + field(4, values)
    path = tmp_path / "net.ONNX"
    path.write_bytes(model([content]))
    assert onnx_file.is_onnx(path)
    assert onnx_file.read(path)[0]["a.bias"].tolist() == [1.0, -2.0]


def test_copies_get_the_values_of_their_source(tmp_path: Path) -> None:
    """Also copies of copies, but no results of other operations."""
    nodes = [
        node("Identity", ["a.bias"], "b.bias"),
        node("Identity", ["b.bias"], "c.bias"),
        node("Relu", ["a.bias"], "d.bias"),
        node("Identity", ["x"], "e.bias"),
        node("Identity", [], "f.bias"),
    ]
    tensors, _ = onnx_file.read(write(tmp_path / "net.onnx", TINY, nodes))
    assert tensors.keys() == {"a.weight", "a.bias", "b.bias", "c.bias"}
    assert torch.equal(tensors["c.bias"], TINY["a.bias"])


def attribute(name: str, number: int) -> bytes:
    return field(5, field(1, name.encode()) + field(3, number))


@pytest.mark.parametrize(
    ("operation", "is_kept"),
    [
        (node("MatMul", ["x", "a.weight"], "y"), False),
        (node("MatMul", ["a.weight", "x"], "y"), True),
        (node("Gemm", ["x", "a.weight", "a.bias"], "y"), False),
        (node("Gemm", ["x", "a.weight"], "y", attribute("transA", 1)), False),
        (node("Gemm", ["x", "a.weight"], "y", attribute("transB", 1)), True),
        (node("Conv", ["x", "a.weight"], "y"), True),
    ],
)
def test_matrices_that_are_stored_transposed(
    operation: bytes, is_kept: bool, tmp_path: Path
) -> None:
    """A linear layer has the weight (out, in) and multiplies by its transposed matrix."""
    tensors, notes = onnx_file.read(write(tmp_path / "net.onnx", TINY, [operation]))
    assert ("a.weight" in tensors) == is_kept
    assert notes == ({} if is_kept else {"unnamed": "a.weight"})


DAMAGE: dict[str, tuple[bytes, str]] = {
    "a version without a graph": (field(1, 8), "it has no graph"),
    "a text": (b"la la la", "is damaged or is not an ONNX file"),
    "a graph that is a number": (field(7, 5), "a number is where a message should be"),
    "a name that is a number": (
        model([field(2, 1) + field(8, 10**12)]),
        "a number is where bytes should be",
    ),
    "a type that is bytes": (model([field(2, b"x")]), "bytes are where a number should be"),
    "an axis below 0": (model([field(1, -1) + field(2, 1)]), "an axis of negative length"),
    "an axis of 2^62": (
        model([field(1, 2**62) + field(2, 1) + field(8, b"a.b") + field(9, b"\0\0\0\0")]),
        "is damaged or is not an ONNX file",
    ),
    "a part of a value": (
        model([field(1, 1) + field(2, 1) + field(8, b"a.b") + field(9, b"\0\0")]),
        "is damaged or is not an ONNX file",
    ),
    "a field that is too long": (varint(7 << 3 | 2) + b"\x09\0", "ends behind its message"),
    "values in another file": (
        model([field(1, 1) + field(2, 1) + field(8, b"a.b") + field(13, b"") + field(14, 1)]),
        "has its weights in another file, .* external_data=False",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_one_sentence(kind: str, tmp_path: Path, zoo: Path) -> None:
    content, message = DAMAGE[kind]
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert(tmp_path / "net.onnx", name="mine")
    assert "\n" not in str(caught.value)
    with pytest.raises(NoModelError, match="does not exist"):
        convert(tmp_path / "absent.onnx", name="mine")
    assert not zoo.exists()


def test_cut_files(tmp_path: Path) -> None:
    """Law: no part of a file is taken for the whole, up to where only other fields are missing."""
    path = write(tmp_path / "net.onnx", TINY)
    content = path.read_bytes()
    for end in range(1, len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(CheckpointError):
            onnx_file.read(path)


def test_fields_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: three of the file, two of the graph, five and four of the initializers."""
    path = write(tmp_path / "net.onnx", TINY)
    monkeypatch.setattr(onnx_file, "MOST_FIELDS", 14)
    assert onnx_file.read(path)[0].keys() == TINY.keys()
    monkeypatch.setattr(onnx_file, "MOST_FIELDS", 13)
    with pytest.raises(CheckpointError, match="it has too many parts"):
        onnx_file.read(path)


Tensors = dict[str, Tensor]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: {"onnx::Conv_3": x.pop("final_conv.0.weight"), **x}, "initializer onnx::Conv_3"),
        (lambda x: x.pop("encoder_blocks.0.tfc_tdf.blocks.0.tdf.2.weight"), "there is no encoder"),
        (lambda x: x.pop("first_conv.weight"), "no network that can be converted"),
    ],
)
def test_missing_parameters(
    change: Callable[[Tensors], object], message: str, tmp_path: Path, zoo: Path
) -> None:
    tensors = published_tensors(MDX23C.network())
    changed = change(tensors)
    path = write(tmp_path / "net.onnx", changed if isinstance(changed, dict) else tensors)
    with pytest.raises(CheckpointError, match=message):
        convert(path, name="mine", config=MDX23C.write_settings(tmp_path))
