"""``stem models convert`` and then ``stem separate``, for files as users have them on disk.

Reference: the network that a file was made from, installed without conversion and with the same
card: both separate a song into the same stems.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from torch import Tensor

from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import find
from model_zoo.catalogue.install import install
from model_zoo.catalogue.public import PublicModel, PublicOptions
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.catalogue.scores import CardScore
from model_zoo.files import sha256
from model_zoo.importers.convert import read_network
from model_zoo.separator import Separator
from tests.audio_files import noisy_tones
from tests.model_zoo.importers import onnx_writer
from tests.model_zoo.importers.published import NETWORKS, as_package, published_tensors
from tests.model_zoo.importers.test_open_unmix import network as open_unmix
from tests.model_zoo.importers.test_open_unmix import written
from tests.model_zoo.importers.test_spleeter import GOLDEN, torch_layout
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line

State = dict[str, Tensor]
Made = tuple[list[str | Path], Separator]
PUBLISHED = import_module("model_zoo.importers.published")


def named(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def halved(state: State) -> State:
    return {name: value.half() for name, value in state.items()}


def as_lightning(state: State) -> dict[str, Any]:
    """A checkpoint of Lightning: wrapped names, optimizer, loops and a version."""
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": named("model.", state),
        "optimizer_states": [adam(state)],
        "hyper_parameters": {"lr": 1e-3},
    }


def as_msst(state: State) -> dict[str, Any]:
    """A training checkpoint of Music-Source-Separation-Training, whose scores NumPy computes."""
    return {
        "epoch": 3,
        "best_metric": np.float64(9.5),
        "model_state_dict": named("module.", state),
        "optimizer_state_dict": adam(state),
        "all_metrics": {"sdr": [np.float64(1.0)]},
    }


def adam(state: State) -> dict[str, Any]:
    """State of an optimizer of a network's parameters."""
    parameters = [torch.nn.Parameter(x.clone()) for x in state.values() if x.is_floating_point()]
    optimizer = torch.optim.Adam(parameters)
    sum(each.sum() for each in parameters).backward()  # type: ignore[union-attr]
    optimizer.step()
    return optimizer.state_dict()


def demucs(name: str, folder: Path) -> Made:
    published = NETWORKS[name]
    network = published.network()
    torch.save(as_package(published, published_tensors(network)), folder / "net.th")
    return ["net.th"], network


def demucs_safetensors(folder: Path) -> Made:
    """As demucs 4.1.0 reads them: class and arguments are texts in the metadata."""
    network = NETWORKS["htdemucs"].network()
    texts = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": '[["drums", "bass", "other", "vocals"]]',
        "kwargs": '{"t_heads": 2, "samplerate": 16000, "segment": 0.128}',
    }
    save_file(published_tensors(network), folder / "Net.SafeTensors", texts)
    return ["Net.SafeTensors"], network


def msst(name: str, file: str, change: Callable[[State], Any], folder: Path) -> Made:
    published = NETWORKS[name]
    network = published.network()
    torch.save(change(published_tensors(network)), folder / file)
    published.write_settings(folder)
    return [file, "--config", "network.yaml"], network


def onnx(folder: Path) -> Made:
    network = NETWORKS["bs"].network()
    onnx_writer.write(folder / "net.onnx", published_tensors(network))
    NETWORKS["bs"].write_settings(folder)
    return ["net.onnx", "--config", "network.yaml"], network


def targets(folder: Path) -> Made:
    network = open_unmix()
    return [path.name for path in written(network, folder)], network


def tensorflow(folder: Path) -> Made:
    return [GOLDEN / "4stems"], read_network([GOLDEN / "4stems"])


def torch_spleeter(folder: Path) -> Made:
    stems = ("accompaniment", "vocals")
    for stem, unet in zip(stems, reversed(torch_layout(GOLDEN / "2stems")), strict=True):
        torch.save(unet, folder / f"spleeter-{stem}.ckpt")
    files = [folder / f"spleeter-{stem}.ckpt" for stem in stems]
    return [*files], read_network(files)


FILES: dict[str, Callable[[Path], Made]] = {
    "htdemucs, package": lambda folder: demucs("htdemucs", folder),
    "htdemucs, safetensors": demucs_safetensors,
    "hdemucs, package": lambda folder: demucs("hdemucs", folder),
    "bs_roformer, Lightning": lambda folder: msst("bs", "net.ckpt", as_lightning, folder),
    "bs_roformer, ONNX": onnx,
    "mel_band_roformer, training": lambda folder: msst("mel", "net.ckpt", as_msst, folder),
    "mel_band_roformer, half": lambda folder: msst("mel", "net.pt", halved, folder),
    "scnet, state": lambda folder: msst("scnet", "net.th", lambda x: {"state": x}, folder),
    "mdx23c, model": lambda folder: msst("mdx23c", "net.pth", lambda x: {"model": x}, folder),
    "open_unmix, four files": targets,
    "spleeter, TensorFlow": tensorflow,
    "spleeter, two files": torch_spleeter,
}


def waves(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {path.stem: soundfile.read(path, dtype="float32")[0] for path in folder.iterdir()}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_converted_and_separates(kind: str, tmp_path: Path, run_stem: RunStem) -> None:
    made, network = FILES[kind](tmp_path)
    converted = run_stem("models", "convert", *made, "--name", "mine")
    assert converted.exit_code == 0, converted.output
    card = find("mine")
    assert (card.architecture, card.licence) == (kind.partition(",")[0], "not stated")
    half = "half" in kind
    install(network, replace(card, name="source"), half=half)
    soundfile.write("song.wav", noisy_tones(9000, 16_000), 16_000, "FLOAT")
    for model in ("mine", "source"):
        how = ("--model", model, "--precision", "fp32", "--bit-depth", "32f", "-o", model)
        result = run_stem("separate", "song.wav", *how)
        assert result.exit_code == 0, result.output
    found, expected = waves(tmp_path / "mine/song"), waves(tmp_path / "source/song")
    assert found.keys() == expected.keys() == {*card.outputs}
    for stem, wave in found.items():
        assert wave.shape == (9000, 2)
        assert np.abs(wave).max() > 0, stem
        assert np.array_equal(wave, expected[stem]), stem


SCORE = CardScore("MUSDB18 test", "drums", "SDR", "global", 8.5)


@pytest.fixture
def known(tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a file that the catalogue has by its SHA-256."""
    made, _ = demucs("hdemucs", tmp_path)
    (name,) = made
    entry = PublicModel(
        "hdemucs_known",
        "hdemucs",
        (RemoteFile("https://host/net.th", sha256(tmp_path / name)),),
        ("drums", "bass", "other", "vocals"),
        sample_rate=16_000,
        licence="CC0-1.0",
        authors="A. Author",
        scores=(SCORE,),
    )
    entries = {file.sha256: entry for file in entry.files}
    monkeypatch.setattr(PUBLISHED, "find_by_sha256", entries.get)
    return str(name)


def test_a_known_file_takes_the_card_of_the_catalogue(known: str, run_stem: RunStem) -> None:
    result = run_stem("models", "convert", known, "--name", "mine")
    assert result.exit_code == 0, result.output
    card = find("mine")
    assert (card.name, card.licence, card.authors) == ("mine", "CC0-1.0", "A. Author")
    assert card.scores == (SCORE,)
    assert card.url == "https://host/net.th"


def test_the_yaml_of_the_user_overrules_the_catalogue(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: 4 chunks cover a sample, so that 3/4 of each overlap the next."""
    torch.save(published_tensors(NETWORKS["bs"].network()), tmp_path / "net.ckpt")
    monkeypatch.chdir(tmp_path)
    NETWORKS["bs"].write_settings(tmp_path, inference={"num_overlap": 4})
    file = RemoteFile("https://host/net.ckpt", sha256(tmp_path / "net.ckpt"))
    options = PublicOptions(hop=64, overlap=0.25)
    entry = PublicModel(
        "bs_known", "bs_roformer", (file,), ("bass",), options=options, residual="no_bass"
    )
    monkeypatch.setattr(PUBLISHED, "find_by_sha256", {file.sha256: entry}.get)
    args = ("net.ckpt", "--config", "network.yaml", "--name", "mine")
    result = run_stem("models", "convert", *args)
    assert result.exit_code == 0, result.output
    card = find("mine")
    assert card.overlap == 0.75
    assert (card.stems, card.residual) == (("vocals",), "other")


def test_an_unknown_file_gets_a_card_without_licence(known: str, run_stem: RunStem) -> None:
    """The same network in another file, whose SHA-256 nobody has published."""
    torch.save({**torch.load(known, weights_only=True), "more": 1}, known)
    assert run_stem("models", "convert", known, "--name", "mine").exit_code == 0
    card = find("mine")
    assert (card.licence, card.authors, card.scores, card.url) == ("not stated", "", (), "")
    assert card.source.startswith("Demucs checkpoint net.th (SHA-256 ")
    assert card.stems == ("drums", "bass", "other", "vocals")


def test_all_files_of_a_known_network(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order and under any names: each is known by its SHA-256."""
    files, _ = targets(tmp_path)
    stems = ("vocals", "drums", "bass", "other")
    entry = PublicModel(
        "umx_known",
        "open_unmix",
        tuple(RemoteFile(f"https://host/{name}", sha256(tmp_path / name)) for name in files),
        stems,
        licence="MIT",
    )
    hashes = {file.sha256: entry for file in entry.files}
    monkeypatch.setattr(PUBLISHED, "find_by_sha256", hashes.get)
    renamed = [f"{number}.pth" for number in range(4)]
    for name, new in zip(files, renamed, strict=True):
        (tmp_path / name).rename(tmp_path / new)
    result = run_stem("models", "convert", *reversed(renamed), "--name", "mine")
    assert result.exit_code == 0, result.output
    card = find("mine")
    assert (card.licence, card.stems) == ("MIT", stems)
    tensors = torch.load(tmp_path / "1.pth", weights_only=True)
    drums = resolve.load("mine").state_dict()["targets.1.fc1.weight"]
    assert torch.equal(drums, tensors["fc1.weight"])


PAGE = b"<!DOCTYPE html>\n<html><title>Sign in</title></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 913106900\n"


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net.ckpt", b"x")


def scripted(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # that TorchScript is deprecated
        torch.jit.script(torch.nn.Linear(2, 2)).save(path)


ODD: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "page.ckpt": (lambda path: path.write_bytes(PAGE), 1, "is a web page. Download the file"),
    "page.safetensors": (lambda path: path.write_bytes(PAGE), 1, "is a web page. Download"),
    "page.onnx": (lambda path: path.write_bytes(b"\n<html>"), 1, "is a web page. Download"),
    "lfs.ckpt": (lambda path: path.write_bytes(POINTER), 1, "is a pointer of Git LFS. Run git"),
    "lfs.safetensors": (lambda path: path.write_bytes(POINTER), 1, "is a pointer of Git LFS."),
    "empty.ckpt": (Path.touch, 1, "is empty. Copy or download it again"),
    "empty.safetensors": (Path.touch, 1, "is empty. Copy or download it again"),
    "net.zip": (zipped, 1, "is a ZIP archive with net.ckpt. Unpack it and convert"),
    "zip.ckpt": (zipped, 1, "is a ZIP archive with net.ckpt. Unpack it and convert"),
    "net.7z": (lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c\0"), 1, "compressed archive."),
    "script.pt": (scripted, 1, "is a TorchScript program. Convert the checkpoint"),
    "net.yaml": (Path.touch, 2, "Name the checkpoint, and add --config net.yaml"),
    "folder.ckpt": (Path.mkdir, 2, "is a folder without a TensorFlow checkpoint"),
    "absent.ckpt": (lambda path: None, 2, "does not exist. Use the name of a checkpoint file"),
    "pipe.ckpt": (os.mkfifo, 2, "is not a regular file. Use the name of a checkpoint file"),
    "text.ckpt": (lambda path: path.write_text("la la"), 1, "is damaged or is not a PyTorch"),
    "whole.ckpt": (lambda path: torch.save(torch.nn.Linear(2, 2), path), 1, "have to run code"),
    "other.ckpt": (lambda path: torch.save({"a.b": torch.ones(2)}, path), 1, "holds no network"),
    "nothing.ckpt": (lambda path: torch.save({"a": 1}, path), 1, "holds no tensors by name"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_one_sentence(name: str, tmp_path: Path, run_stem: RunStem) -> None:
    make, code, sentence = ODD[name]
    make(tmp_path / name)
    line = error_line(run_stem("models", "convert", name, "--name", "mine"), code)
    assert line.startswith(f"Error: {name} ")
    assert sentence in line
    assert not (tmp_path / ".zoo").exists()


@pytest.mark.parametrize("name", ["bs", "htdemucs"])
def test_cut_files_are_one_sentence(name: str, tmp_path: Path, run_stem: RunStem) -> None:
    """Half, and all but the last byte, as a broken download leaves them."""
    torch.save(published_tensors(NETWORKS[name].network()), tmp_path / "net.ckpt")
    content = (tmp_path / "net.ckpt").read_bytes()
    for length in (len(content) // 2, len(content) - 1):
        (tmp_path / "net.ckpt").write_bytes(content[:length])
        line = error_line(run_stem("models", "convert", "net.ckpt", "--name", "mine"), 1)
        assert "is damaged or is not a PyTorch checkpoint" in line
    assert not (tmp_path / ".zoo").exists()


SETTINGS = {
    "list.yaml": (b"- a\n- b\n", "has no sections"),
    "text.yaml": (b"hello", "has no sections"),
    "other.yaml": (b"name: x\n", "has none of the sections"),
    "open.yaml": (b"model: {", "not valid YAML"),
    "code.yaml": (b"model: !!python/object/apply:os.mkdir [made]\n", "not valid YAML"),
    "binary.yaml": (b"\x80\2}q\0.", "cannot be read"),
    "stems.yaml": (b"training: {instruments: [a, b]}\n", "the file has 1 stem, not a, b"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_wrong_settings_are_one_sentence(name: str, tmp_path: Path, run_stem: RunStem) -> None:
    content, sentence = SETTINGS[name]
    torch.save(published_tensors(NETWORKS["bs"].network()), tmp_path / "net.ckpt")
    (tmp_path / name).write_bytes(content)
    args = ("net.ckpt", "--config", name, "--name", "mine")
    line = error_line(run_stem("models", "convert", *args), 2)
    assert line.startswith("Error: --config")
    assert sentence in line
    assert not (tmp_path / ".zoo").exists()
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("network", "settings", "sentence"),
    [
        ("bs", "mel", "model.num_bands is an option of Mel-Band RoFormer, but the tensors are"),
        ("mel", "bs", "model.freqs_per_bands is an option of BS-RoFormer, but the tensors are"),
        ("bs", "scnet", "the file has 1 stem, not drums, bass, other, vocals"),
        ("scnet", "bs", "the file has 4 stems, not vocals"),
        ("mdx23c", "scnet", "tell window_size: add --config net.yaml"),
    ],
)
def test_settings_of_another_network(
    network: str, settings: str, sentence: str, tmp_path: Path, run_stem: RunStem
) -> None:
    torch.save(published_tensors(NETWORKS[network].network()), tmp_path / "net.ckpt")
    NETWORKS[settings].write_settings(tmp_path)
    args = ("net.ckpt", "--config", "network.yaml", "--name", "mine")
    assert sentence in error_line(run_stem("models", "convert", *args), 2)
    assert not (tmp_path / ".zoo").exists()
