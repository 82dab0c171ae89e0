"""Entries of the catalogue are installed from files in their authors' layouts, without the network.

Reference: what each entry states, against the card and the weights that are written.
"""

from __future__ import annotations

import gzip
import random
import tarfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

import pytest
import torch

from model_zoo import weights
from model_zoo.catalogue.public import BUILT_VARIANTS, PublicModel, public_models
from model_zoo.catalogue.pull import pull
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.errors import CheckpointError, ChecksumError
from model_zoo.files import sha256
from model_zoo.importers.archive import unpacked
from model_zoo.importers.convert import install_public
from tests.model_zoo.catalogue.hub import of, serve
from tests.model_zoo.importers.entries import (
    VARIANTS,
    YAML_CHUNK,
    YAML_HOP,
    write_entry,
)

MODELS = public_models()
USABLE = [model for model in MODELS.values() if not model.refusal]


def kind(model: PublicModel) -> Any:
    """What the importer makes a difference by: entries of one kind are installed in one way."""
    options = replace(model.options, overlap=None, target="")
    suffixes = tuple(PurePath(file.name).suffix for file in model.downloads)
    facts = (model.architecture, model.variant, len(model.stems), model.residual == "")
    return (*facts, model.sample_rate, options, suffixes)


KINDS = {kind(model): model for model in reversed(USABLE)}
ROFORMERS = {"bs_roformer", "mel_band_roformer"}
DEMUCS = {"htdemucs", "hdemucs"}
CHUNKS = {
    "spleeter": 511 * 1024,  # 512 frames, centred on multiples of the hop
    "open_unmix": 6 * 44_100,  # seq-dur of its train.py
    "scnet": 11 * 44_100,  # its conf/config.yaml
    "mel_band_roformer": 8 * 44_100,  # chunk_size of Kimberley Jensen's YAML
    "htdemucs": 343_980,  # 7.8 s, of the published network
    "hdemucs": 40 * 44_100,  # of demucs.hdemucs.HDemucs
}
"""Chunks in samples of networks whose entry and files state none."""


@pytest.mark.parametrize("model", KINDS.values(), ids=lambda model: model.name)
def test_an_entry_is_installed_as_it_states(model: PublicModel, tmp_path: Path, zoo: Path) -> None:
    card = install_public(model, write_entry(model, tmp_path))
    assert (card.architecture, card.outputs) == (model.architecture, model.outputs)
    assert (card.sample_rate, card.licence) == (model.sample_rate, model.licence)
    is_leveled = model.options.normalize or model.architecture in DEMUCS
    assert card.level == ("standard" if is_leveled else None)
    config = weights.read(zoo / card.file).config
    assert config.get("hop_size", 0) == (YAML_HOP if model.settings_file else model.options.hop)
    assert config["segment"] == chunk_of(model)
    assert config.items() >= VARIANTS.get(model.variant, {}).items()
    if model.architecture in ROFORMERS:
        assert config["zero_dc"] == (model.options.zero_dc is not False)
        assert config["skip_connection"] == model.options.skip_connection
    if model.options.overlap is not None:
        assert card.overlap == model.options.overlap


def chunk_of(model: PublicModel) -> int:
    """Samples of a chunk as the entry, its YAML file or else its authors' program states them."""
    usual = YAML_CHUNK if model.settings_file else CHUNKS.get(model.architecture)
    return model.options.chunk or usual or pytest.fail(f"{model.name} has no chunk")


def test_the_overlap_of_a_needed_yaml_file_is_taken(tmp_path: Path, zoo: Path) -> None:
    """By hand: ``num_overlap`` 4 is an overlap of three quarters."""
    model = next(model for model in USABLE if model.settings_file)
    assert install_public(model, write_entry(model, tmp_path)).overlap == 0.75


def test_weights_and_yaml_file_are_pulled_together(
    tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local server has both; the YAML file is checked by its SHA-256, too, and not kept."""
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    model = MODELS["bs_roformer_unwa_leap_vocals"]
    weights_file, settings = write_entry(model, tmp_path)
    with serve() as hub:
        address = hub.add(f"/{settings.name}", of(settings.read_bytes()))
        file = hub.add(f"/{weights_file.name}", of(weights_file.read_bytes()))
        model = replace(
            model,
            files=(RemoteFile(file, sha256(weights_file)),),
            is_pinned=True,
            config_url=address,
            config_sha256="0" * 64,
        )
        with pytest.raises(ChecksumError, match=r"bs_leap_voc_conf\.yaml cannot be downloaded"):
            pull(model, install=install_public)
        assert not (zoo / f"{model.name}.toml").exists()
        model = replace(model, config_sha256=sha256(settings))
        assert pull(model, install=install_public).overlap == 0.75
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert {path.suffix for path in left} == {".lock"}


REFUSED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    name: lambda tensors, key=key: {**tensors, key: torch.ones(2)}  # type: ignore[misc]
    for name, key in {
        "HyperACE": "mask_estimators.0.segm.0.weight",
        "value residual": "layers.0.0.layers.0.0.to_value_residual_mix.weight",
        "Large-Inst": "mask_estimators.0.layers.0.0.layers.0.0.norm.gamma",
        "FNO": "mask_estimators.0.operator.weight",
        "transformer": "separation_net.dp_modules.0.time_layer.layers.0.0.norm.gamma",
    }.items()
}
"""Tensors of variants: of splifft 0.0.9 and msst 0.1.0; of FNO any that the plain network lacks."""

REFUSED["DiffQ"] = lambda package: {**package, "state": {"__quantized": True}}


def test_variants_of_the_catalogue_are_those_that_importers_build_or_refuse() -> None:
    found = {model.variant for model in MODELS.values()}
    assert found == BUILT_VARIANTS | REFUSED.keys()
    assert BUILT_VARIANTS - {""} == VARIANTS.keys()


@pytest.mark.parametrize("variant", REFUSED)
def test_a_variant_that_is_refused_by_name_is_refused_by_its_file(
    variant: str, tmp_path: Path, zoo: Path
) -> None:
    model = next(model for model in MODELS.values() if model.variant == variant)
    assert f"with {variant}, which cannot be built yet" in model.refusal
    (path,) = write_entry(model, tmp_path)[: len(model.files)]
    content = torch.load(path, weights_only=True)
    torch.save(REFUSED[variant](content), path)
    with pytest.raises(CheckpointError, match=r"does not exist here|cannot be read|other layout"):
        install_public(model, [path])
    assert not zoo.exists()


def test_the_yaml_file_is_fetched_where_nothing_else_tells_the_hop() -> None:
    """By hand: the hop of SCNet is usual, that of a RoFormer is stated or in the file."""
    model = MODELS["bs_roformer_unwa_leap_vocals"]
    names = [file.name for file in model.downloads]
    assert names == ["bs_roformer_leap_voc.ckpt", "bs_leap_voc_conf.yaml"]
    assert model.downloads[1] == model.settings_file
    for other in (
        replace(model, architecture="scnet"),
        replace(model, options=replace(model.options, hop=441)),
        replace(model, config_sha256=""),
    ):
        assert other.settings_file is None
        assert other.downloads == model.files


def test_every_entry_tells_what_tensors_do_not() -> None:
    for model in USABLE:
        if model.architecture in {*ROFORMERS, "mdx23c"}:
            assert model.options.hop or model.settings_file, model.name
        if model.architecture == "scnet":
            assert len(model.options.band_ratios) == 3, model.name


def archive(folder: Path, *names: str, content: bytes = b"x") -> Path:
    """An archive with files of these names."""
    path = folder / "net.tar.gz"
    with tarfile.open(path, "w:gz") as written:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            written.addfile(member, BytesIO(content))
    return path


def test_only_files_of_a_checkpoint_are_unpacked(tmp_path: Path) -> None:
    names = ("../../evil.index", "/model.data-00000-of-00001", "checkpoint", "run.sh")
    with unpacked(archive(tmp_path, *names)) as folder:
        assert {path.name for path in folder.iterdir()} == {
            "evil.index",
            "model.data-00000-of-00001",
        }
    assert not folder.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"net.tar.gz"}


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "net.tgz"
    with tarfile.open(path, "w:gz") as written:
        member = tarfile.TarInfo("model.index")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        written.addfile(member)
    with pytest.raises(CheckpointError, match="has no TensorFlow checkpoint"), unpacked(path):
        pytest.fail("it was unpacked")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b\x08\x00cut"])
def test_a_damaged_archive(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.tar.gz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="Download it again"), unpacked(path):
        pytest.fail("it was unpacked")


def test_archives_with_wrong_bytes(tmp_path: Path) -> None:
    """Bytes by a seed, in the compressed file and in what it holds; an error is a sentence."""
    draw, path = random.Random(1), archive(tmp_path, "model.index", content=b"0" * 600)
    whole = path.read_bytes()
    refused = 0
    for number in range(400):
        content = bytearray(whole if number % 2 else gzip.decompress(whole)[:2048])
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(bytes(content) if number % 2 else gzip.compress(content))
        try:
            with unpacked(path) as folder:
                assert [*folder.glob("*.index")]
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_an_archive_that_would_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: the second of two files of 100 bytes, each behind a header of 512."""
    monkeypatch.setattr("model_zoo.importers.archive.LARGEST", 1223)
    path = archive(tmp_path, "model.index", "more", content=b"x" * 100)
    with pytest.raises(CheckpointError, match="unpacks to more than 1,223 bytes"), unpacked(path):
        pytest.fail("it was unpacked")
