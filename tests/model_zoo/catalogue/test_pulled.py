"""The public network that weights were made from. Reference: SHA-256 of the files in the entry."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_zoo.catalogue import pulled
from model_zoo.catalogue.public import public_models
from model_zoo.catalogue.pulled import published_as
from model_zoo.weights import save
from tests.model_zoo.small import small_network

MODELS = public_models()
KIM = MODELS["mel_band_roformer_kim"]
UMXHQ = MODELS["umxhq"]


def made_from(*digests: str, path: Path) -> str:
    save(path, small_network(), {pulled.SOURCES: " ".join(digests)})
    return published_as(path)


@pytest.mark.parametrize("digest", [KIM.files[0].sha256, KIM.other_files[0].sha256])
def test_one_file(digest: str, tmp_path: Path) -> None:
    """The checkpoint of its author counts as well as the safetensors file that is fetched."""
    assert made_from(digest, path=tmp_path / "a.safetensors") == "mel_band_roformer_kim"


def test_one_file_per_stem(tmp_path: Path) -> None:
    digests = [file.sha256 for file in UMXHQ.files]
    assert made_from(*digests, path=tmp_path / "a.safetensors") == "umxhq"
    assert made_from(*digests[:1], path=tmp_path / "a.safetensors") == ""
    assert made_from(*digests[::-1], path=tmp_path / "a.safetensors") == ""


def test_other_files(tmp_path: Path) -> None:
    assert made_from("0" * 64, path=tmp_path / "a.safetensors") == ""
    assert made_from("", path=tmp_path / "a.safetensors") == ""
    save(tmp_path / "b.safetensors", small_network())
    assert published_as(tmp_path / "b.safetensors") == ""


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_file_that_is_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert published_as(path) == ""
