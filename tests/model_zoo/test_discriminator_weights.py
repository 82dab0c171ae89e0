"""Discriminator files: saved and loaded bit for bit, and error messages for damaged files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_zoo import weights
from model_zoo.discriminators.ensemble import EnsembleSpec
from model_zoo.errors import CheckpointError, OutputError
from model_zoo.weights import load_discriminator, save_discriminator
from tests.model_zoo.discriminator_files import spec, write_discriminator
from tests.model_zoo.small import small_network


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_discriminator(tmp_path)


def rewrite(file: Path, metadata: dict[str, str], **tensors: torch.Tensor) -> Path:
    save_file({**load_file(file), **tensors}, file, metadata)
    return file


def metadata_of(**changes: Any) -> dict[str, str]:
    return {"ensemble": json.dumps({**spec().to_dict(), **changes})}


def test_a_saved_ensemble_is_loaded_unchanged(tmp_path: Path) -> None:
    """Outputs are equal bit for bit, also after training has updated the spectral norms."""
    path, ensemble = tmp_path / "deep" / "discriminator.safetensors", spec(2).build()
    wave = torch.randn(2, 2, 1001)
    with torch.no_grad():
        ensemble(wave)
    checksum = save_discriminator(path, ensemble, spec(2))
    assert checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded, loaded_spec = load_discriminator(path)
    assert loaded_spec == spec(2)
    assert not loaded.training
    with torch.no_grad():
        before, after = ensemble.eval()(wave), loaded(wave)
    pairs = [*zip(before.scores, after.scores, strict=True)]
    for layers in zip(before.features, after.features, strict=True):
        pairs += zip(*layers, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_loaded_ensemble_can_be_trained_further(file: Path) -> None:
    ensemble, _ = load_discriminator(file)
    scores, _ = ensemble.train()(torch.randn(1, 1, 1001))
    torch.stack([score.mean() for score in scores]).sum().backward()
    assert all(value.grad is not None for value in ensemble.parameters())


def test_loading_does_not_change_the_random_generator(file: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_discriminator(file)
    assert torch.equal(torch.rand(3), expected)


def test_a_truncated_file_is_reported(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged or is not a safetensors file"):
        load_discriminator(file)


@pytest.mark.parametrize(
    ("name", "problem"), [("nothing.safetensors", "does not exist"), (".", "is not a regular file")]
)
def test_paths_that_are_not_files_are_reported(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(CheckpointError, match=rf"{problem}\. Use the discriminator\.safetensors"):
        load_discriminator(tmp_path / name)


def test_weights_of_a_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    weights.save(path, small_network())
    with pytest.raises(CheckpointError, match="holds the network 'melrnn', not discriminators"):
        load_discriminator(path)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "holds no discriminators"),
        ({"ensemble": "{"}, "description of the discriminators in .* cannot be used"),
        ({"ensemble": "3"}, "description of the discriminators in .* cannot be used"),
        (metadata_of(names=[], options={}), "does not name any discriminators"),
        (metadata_of(names=["multi_smell"], options={}), "does not have: .*multi_smell"),
        (metadata_of(hop=3), "does not have: .*unknown key 'hop'"),
        (metadata_of(nch="two"), "does not have: .*nch must be a whole number"),
        (
            metadata_of(options={"multi_frequency": {"hidden_channels": -1}}),
            "does not have: .*they cannot be used",
        ),
        (
            metadata_of(nch=2),
            r"does not fit .*weight_orig is \(2, 2, 3, 9\) instead of \(2, 4, 3, 9",
        ),
        (metadata_of(names=["multi_resolution"], options={}), "does not fit .* unknown"),
    ],
)
def test_invalid_descriptions_are_refused(
    file: Path, metadata: dict[str, str], sentence: str
) -> None:
    with pytest.raises(CheckpointError, match=f"{sentence}.*Use the discriminator"):
        load_discriminator(rewrite(file, metadata))


def test_extra_tensors_are_refused(file: Path) -> None:
    with pytest.raises(CheckpointError, match="more unknown"):
        load_discriminator(rewrite(file, metadata_of(), more=torch.zeros(1)))


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Choose a writable folder"):
        save_discriminator(
            tmp_path / "file" / "d.safetensors",
            EnsembleSpec(("multi_frequency",)).build(),
            EnsembleSpec(("multi_frequency",)),
        )
