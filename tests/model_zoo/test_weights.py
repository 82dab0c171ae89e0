"""Weights files: saved and loaded unchanged, and error messages for damaged files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from model_zoo import weights
from model_zoo.catalogue import cards, resolve
from model_zoo.catalogue.cards import Card, find
from model_zoo.catalogue.install import install
from model_zoo.errors import CheckpointError, ChecksumError, OutputError, UnknownNameError
from tests.model_zoo.small import small_network


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    weights.save(path, small_network(), {"residual": "instrumental", "note": "hello"})
    return path


def test_a_file_describes_its_network(file: Path) -> None:
    content = weights.read(file)
    assert content.architecture == "melrnn"
    assert content.metadata["residual"] == "instrumental"
    assert content.metadata["note"] == "hello"
    assert content.config == json.loads(json.dumps(small_network().config.to_dict()))
    assert content.tensors.keys() == small_network().state_dict().keys()


def test_save_returns_the_hash_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "net.safetensors"
    checksum = weights.save(path, small_network())
    assert checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(path.parent.iterdir()) == [path]


def test_permissions_follow_the_umask(tmp_path: Path, file: Path) -> None:
    """The same permissions as a file that Python opens."""
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert file.stat().st_mode == plain.stat().st_mode


def test_half_precision_files_load_as_float32(tmp_path: Path, file: Path) -> None:
    path, network = tmp_path / "half.safetensors", small_network()
    weights.save(path, network, half=True)
    assert path.stat().st_size < file.stat().st_size
    loaded = resolve.load(path)
    for name, parameter in network.named_parameters():
        stored = loaded.get_parameter(name)
        assert stored.dtype == torch.float32
        assert torch.equal(stored, parameter.half().float())
    for name, buffer in network.named_buffers():
        assert torch.equal(loaded.get_buffer(name), buffer)


def test_loading_does_not_change_the_random_generator(file: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    resolve.load(file)
    assert torch.equal(torch.rand(3), expected)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("these are no weights, only words " * 20)


@pytest.mark.parametrize("damage", [truncate, empty, text])
def test_damage_is_reported_in_one_sentence(file: Path, damage: Callable[[Path], None]) -> None:
    damage(file)
    with pytest.raises(CheckpointError, match="is damaged or is not a safetensors file"):
        resolve.load(file)


def test_a_missing_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no.safetensors does not exist"):
        resolve.load(tmp_path / "no.safetensors")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"architecture": "melrnn"},
        {"config": "{}"},
        {"architecture": "melrnn", "config": "{"},
        {"architecture": "melrnn", "config": "[1]"},
    ],
)
def test_foreign_safetensors_point_to_convert(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata)
    with pytest.raises(CheckpointError, match=r"Try: model_zoo\.importers\.convert\("):
        resolve.load(path)


def rewrite(path: Path, *, architecture: str = "melrnn", **changes: object) -> None:
    content = weights.read(path)
    config = content.config | changes
    metadata = {"architecture": architecture, "config": json.dumps(config)}
    save_file(content.tensors, path, metadata)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "melrn"}, "does not have: Unknown architecture 'melrn': did you mean"),
        ({"num_leyers": 2}, "does not have: .*unknown key 'num_leyers', did you mean 'num_layers'"),
        ({"num_layers": 2}, r"does not fit MelRNN: freq_blocks.1.ffn_norm.scale, .* more missing"),
        ({"num_groups": 1}, r"does not fit MelRNN: freq_blocks.0.rnn.rnns.1.* more unknown"),
        ({"num_bands": 5}, r"does not fit MelRNN: band\S+ is \(.*\) instead of \("),
    ],
)
def test_a_file_that_does_not_fit_its_config(file: Path, changes: dict, message: str) -> None:
    rewrite(file, **changes)
    with pytest.raises(CheckpointError, match=message):
        resolve.load(file)


def test_a_folder_that_cannot_be_written_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match=r"Cannot write .*net.safetensors"):
        weights.save(tmp_path / "taken" / "net.safetensors", small_network())


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_a_failed_write_leaves_only_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    before = file.read_bytes()

    def full_disk(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half of")
        raise kind("No space left on device")

    monkeypatch.setattr(weights, "save_file", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        weights.save(file, small_network())
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.fixture
def installed(zoo: Path) -> Card:
    card = Card(name="mine", architecture="", stems=("vocals",), residual="instrumental")
    return install(small_network(), card)


def test_an_installed_model_is_found_verified_and_loaded(installed: Card, zoo: Path) -> None:
    assert find("mine") == installed
    assert installed.architecture == "melrnn"
    assert installed.sample_rate == 16_000
    assert installed.parameters == small_network().parameter_count()
    assert cards.verify(installed) == zoo / "mine.safetensors"
    mixture = torch.linspace(-1, 1, 700).sin().reshape(1, 1, -1)
    assert torch.equal(resolve.load("mine")(mixture), small_network()(mixture))


def test_changed_content_is_a_checksum_error(installed: Card, zoo: Path) -> None:
    path = zoo / "mine.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError, match=r"another SHA-256, so it is not what the card"):
        resolve.load("mine")


def test_another_size_is_a_checksum_error(installed: Card, zoo: Path) -> None:
    truncate(zoo / "mine.safetensors")
    with pytest.raises(ChecksumError, match=f"bytes instead of {installed.size}"):
        resolve.load("mine")


def test_a_card_without_its_file(installed: Card, zoo: Path) -> None:
    (zoo / "mine.safetensors").unlink()
    with pytest.raises(CheckpointError, match="The weights of 'mine' are not at"):
        resolve.load("mine")


def test_an_unknown_model(zoo: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown model 'absent'.* See: stem models list"):
        resolve.load("absent")


def test_a_taken_name_is_refused_unless_overwritten(installed: Card) -> None:
    with pytest.raises(Exception, match=r"'mine' is in your zoo already.*overwrite=True"):
        install(small_network(), installed)
    again = install(small_network(), replace(installed, description="new"), overwrite=True)
    assert find("mine") == again
