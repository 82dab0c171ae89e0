"""Pickles that are checked before they are loaded.

Reference: files of torch and NumPy are read bit for bit; bombs are worked by hand.
"""

from __future__ import annotations

import argparse
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_zoo.importers import unpickle
from model_zoo.importers.unpickle import BombError, check_archive, check_steps, state_dict


@pytest.mark.parametrize("is_archive", [True, False])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_files_of_torch_are_read(tmp_path: Path, is_archive: bool, kind: torch.dtype) -> None:
    tied = torch.arange(6).to(kind).reshape(2, 3)
    content = OrderedDict(a=tied, b=tied.T, c=torch.nn.Parameter(torch.ones(2)))
    training = {"state_dict": content, "epoch": 3, "lr": 1e-3, "names": ["x", None, True]}
    torch.save(training, tmp_path / "net.pt", _use_new_zipfile_serialization=is_archive)
    tensors = state_dict(tmp_path / "net.pt")
    assert tensors.keys() == content.keys()
    assert all(torch.equal(tensors[name], content[name]) for name in content)


@pytest.mark.parametrize("kind", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numpy_are_read(tmp_path: Path, kind: str, order: Any) -> None:
    array = np.arange(24, dtype=kind).reshape(2, 3, 4).copy(order)
    torch.save({"a": array, "b": np.arange(3)}, tmp_path / "net.pt")
    tensors = state_dict(tmp_path / "net.pt")
    assert tensors.keys() == {"a"}
    np.testing.assert_array_equal(tensors["a"].numpy(), array)


def trained() -> tuple[dict[str, Any], dict[str, Any]]:
    """A network's state, and what trainers save beside it: of torch, NumPy and Python."""
    network = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    rest = {
        "optimizer_state_dict": optimizer.state_dict(),
        "best_metric": np.float64(9.1),
        "all_metrics": {"sdr": [np.float32(1.5), np.int64(3)]},
        "args": argparse.Namespace(config_path=Path("x.yaml"), lr=[1e-3]),
        "rng_state": torch.get_rng_state(),
        "losses": np.arange(3.0),
        "epoch": 3,
        "model": {"name": "linear"},
    }
    return dict(network.state_dict()), rest


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "state", "weights", "net"])
@pytest.mark.parametrize("is_archive", [True, False])
def test_training_checkpoints_are_read(tmp_path: Path, is_archive: bool, key: str) -> None:
    """Tensors and arrays beside the network are not taken for it."""
    state, rest = trained()
    path = tmp_path / "net.ckpt"
    content = {**rest, key: state}
    torch.save(content, path, _use_new_zipfile_serialization=is_archive)
    tensors = state_dict(path)
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], state[name]) for name in state)


def test_a_mapping_may_hold_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a.b": torch.ones(2)}
    for key in unpickle.CONTAINERS:
        content[key] = content
    torch.save(content, tmp_path / "net.pt")
    assert state_dict(tmp_path / "net.pt").keys() == {"a.b"}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("is_archive", [True, False])
def test_pickles_of_every_protocol(tmp_path: Path, is_archive: bool, protocol: int) -> None:
    """Reference: Python's own pickler. torch reads protocols 2 to 5, the later ones in part.

    The shared object is memoized and fetched again in every protocol.
    """
    shared = ("a" * 9, [1.5, None])
    check_steps(io.BytesIO(pickle.dumps({"x": shared, "y": [shared, shared]}, protocol)))
    content = {"a": torch.arange(3.0)}
    torch.save(
        content,
        tmp_path / "net.pt",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=is_archive,
    )
    check_archive(tmp_path / "net.pt")


def test_nested_tuples_are_counted_in_protocol_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: as in protocol 2, except for the memo."""
    pair: tuple[Any, ...] = (7, 7)
    for _ in range(4):
        pair = (pair, pair)
    monkeypatch.setattr(unpickle, "MOST_VALUES", 63)
    with pytest.raises(BombError, match="reference each other too often"):
        check_steps(io.BytesIO(pickle.dumps(pair, 4)))


def test_bytes_keep_their_encoding() -> None:
    check_steps(io.BytesIO(pickle.dumps({"a": b"xyz" * 1000, "b": ("x", "y")}, 2)))


def test_values_count_once_per_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: a pair of numbers is 3 values, and a pair of pairs is 1 more than twice that."""
    pair: tuple[Any, ...] = (7, 7)
    for _ in range(4):
        pair = (pair, pair)
    code = pickle.dumps(pair, 2)
    # 3, 7, 15, 31, 63, plus the end of the pickle.
    monkeypatch.setattr(unpickle, "MOST_VALUES", 64)
    check_steps(io.BytesIO(code))
    monkeypatch.setattr(unpickle, "MOST_VALUES", 63)
    with pytest.raises(BombError, match="reference each other too often"):
        check_steps(io.BytesIO(code))


def test_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: the protocol, an empty list, its memo entry, and the end."""
    code = pickle.dumps([], 2)
    monkeypatch.setattr(unpickle, "MOST_STEPS", 3)
    check_steps(io.BytesIO(code))
    monkeypatch.setattr(unpickle, "MOST_STEPS", 2)
    with pytest.raises(BombError, match="description is too large"):
        check_steps(io.BytesIO(code))
