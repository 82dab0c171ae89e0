"""What is refused in one sentence: variants, contradictions, code in pickles and in YAML.

By hand: each change breaks one thing, and the message names it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo.catalogue.public import PublicModel, PublicOptions
from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.errors import CheckpointError, ConfigError, StemError
from model_zoo.importers import convert, stand_ins
from model_zoo.importers.convert import install_public
from model_zoo.importers.published import PublicNetwork
from model_zoo.importers.settings import read_settings
from tests.model_zoo.importers.published import (
    FOUR,
    NETWORKS,
    as_package,
    published_tensors,
    write,
)

Renames = dict[str, str]
BLOCK = "layers.0.0.layers.0.0"


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (f"{BLOCK}.to_value_residual_mix.weight", "residuals of values"),
        (f"{BLOCK}.branch.norm.gamma", "hyper-connections"),
        ("mask_estimators.0.segm.0.weight", "a mask estimator with convolutions"),
        (f"{BLOCK}.pope_embed.bias", "PoPE position embeddings"),
        ("layers.0.0.layers.0.ff1.net.0.weight", "conformers"),
        ("layers.0.0.layers.0.conv.net.0.weight", "conformers"),
        ("layers.0.2.layers.0.0.norm.gamma", "a linear transformer"),
        ("something.else", "another layout"),
    ],
)
@pytest.mark.parametrize("name", ["mel", "bs"])
def test_variants_of_roformers(name: str, key: str, what: str, tmp_path: Path, zoo: Path) -> None:
    change = lambda tensors: {**tensors, key: torch.ones(2)}  # noqa: E731
    path, config, _ = write(NETWORKS[name], tmp_path, change=change)
    with pytest.raises(CheckpointError, match=what) as caught:
        convert(path, name="mine", config=config)
    assert f"(tensor {key})" in str(caught.value)
    assert not zoo.exists()


def test_other_rotations_are_refused_and_leftovers_dropped(tmp_path: Path, zoo: Path) -> None:
    left = {"linear_62_bias_0": torch.ones(3), "linear_64_bias_0": torch.ones(3)}
    path, config, _ = write(NETWORKS["bs"], tmp_path, change=lambda tensors: {**tensors, **left})
    convert(path, name="mine", config=config)
    scaled: Callable[[dict[str, Tensor]], Any] = lambda tensors: {  # noqa: E731
        key: x * 0.9 if key.endswith("freqs") else x for key, x in tensors.items()
    }
    path, config, _ = write(NETWORKS["bs"], tmp_path, change=scaled)
    with pytest.raises(CheckpointError, match=r"frequencies of the rotary embedding.*freqs\)"):
        convert(path, name="other", config=config)


@pytest.mark.parametrize(
    ("name", "section", "key", "value", "message"),
    [
        ("mel", "model", "dim", 384, "model.dim is 384, but the tensors .* hidden_channels 12"),
        ("mel", "model", "depth", 3, "model.depth is 3, but the tensors .* num_layers 2"),
        ("mel", "model", "mask_estimator_depth", 1, "_depth is 1, but .* mask_layers 3"),
        (
            "mel",
            "model",
            "sample_rate",
            44_100,
            "mel bands of the tensors do not match .*sample_rate 44100",
        ),
        (
            "mel",
            "model",
            "stereo",
            False,
            "mel bands of the tensors do not match .*audio_channels 1:",
        ),
        ("mel", "model", "depth", "two", "model.depth must be a whole number, found 'two'"),
        ("bs", "model", "stft_n_fft", 512, "stft_n_fft is 512, but .* window_size 256"),
        ("bs", "model", "freqs_per_bands", [2, 2], r"is \[2, 2\], but .* bins_per_band \[3, 4,"),
        ("bs", "model", "freqs_per_bands", 4, "must be a list of whole numbers, found 4"),
        ("bs", "training", "target_instrument", None, "the file has 1 stem, not vocals, other"),
        ("bs", "training", "instruments", "vocals", "instruments must be a list of names"),
        ("bs", "inference", "num_overlap", 0, "num_overlap must be a whole number above 0"),
        ("scnet", "model", "dims", [4, 32, 64], r"dims is \[4, 32, 64\], but .* widths \[8, 12\]"),
        ("scnet", "model", "band_SR", [0.2, 2], "band_SR must be a list of numbers from 0 to 1"),
        ("scnet", "training", "instruments", ["a", "b"], "the file has 4 stems, not a, b"),
        ("mdx23c", "audio", "dim_f", 4096, "dim_f is 4096, but .* num_bins 128"),
        ("mdx23c", "model", "growth", 8, "growth is 8, but .* growth 4"),
    ],
)
def test_contradictions_name_both_sides(
    name: str, section: str, key: str, value: Any, message: str, tmp_path: Path, zoo: Path
) -> None:
    published = NETWORKS[name]
    path, _, _ = write(published, tmp_path)
    config = published.write_settings(tmp_path, **{section: {key: value}})
    with pytest.raises(ConfigError, match=message) as caught:
        convert(path, name="mine", config=config)
    assert "\n" not in str(caught.value)
    assert not zoo.exists()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bs", {}, "does not name its 1 stems: name each, or add config=PATH"),
        ("bs", {"stems": ("vocals",)}, "tell hop_size: add config='network.yaml', or hop"),
        (
            "mel",
            {"stems": ("vocals",), "hop_size": 60},
            "of the tensors do not match window_size 2048",
        ),
        ("scnet", {}, "tell band_ratios: add config"),
        ("mdx23c", {"stems": ("a", "b")}, "tell window_size: add config"),
    ],
)
def test_what_tensors_do_not_tell_is_not_guessed(
    name: str, options: dict[str, Any], message: str, tmp_path: Path, zoo: Path
) -> None:
    path, _, _ = write(NETWORKS[name], tmp_path)
    with pytest.raises(ConfigError, match=message):
        convert(path, name="mine", **options)


def test_hop_and_stem_are_enough_for_adjacent_bands(tmp_path: Path, zoo: Path) -> None:
    path, _, _ = write(NETWORKS["bs"], tmp_path)
    card = convert(path, name="mine", stems=("vocals",), hop_size=60)
    assert (card.outputs, card.overlap) == (("vocals", "no_vocals"), 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"klass": "demucs.demucs.Demucs"}, "networks on the waveform alone do not exist here"),
        ({"klass": "demucs.other.Thing"}, "networks of this class do not exist here"),
        ({"klass": ["a"]}, "networks of this class do not exist here"),
        ({"state": {"__quantized": True, "a": torch.ones(1)}}, "is quantized with diffq"),
        ({"kwargs": {"t_sparse_self_attn": True}}, "t_sparse_self_attn=True, which does not"),
        ({"kwargs": {"growth": 3}}, "growth=3, which does not exist here"),
        ({"kwargs": {"channels": 48}}, "channels is 48, but the tensors .* channels 8"),
        ({"kwargs": {"segment": "long"}}, "segment must be a number of seconds, found 'long'"),
        ({"kwargs": {"t_heads": {"a": 1}}}, "t_heads must be a whole number"),
    ],
)
def test_packages_of_demucs(
    change: dict[str, Any], message: str, tmp_path: Path, zoo: Path
) -> None:
    published = NETWORKS["htdemucs"]
    package = as_package(published, published_tensors(published.network()))
    torch.save({**package, **change}, tmp_path / "net.th")
    with pytest.raises(StemError, match=message):
        convert(tmp_path / "net.th", name="mine")
    assert not zoo.exists()


class Marker:
    """Creates a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("place", ["klass", "args", "kwargs", "state", "training_args"])
def test_code_in_a_package_is_not_run(place: str, tmp_path: Path, zoo: Path) -> None:
    published = NETWORKS["htdemucs"]
    package = as_package(published, published_tensors(published.network()))
    torch.save({**package, place: Marker(tmp_path / "marker")}, tmp_path / "net.th")
    with pytest.raises(CheckpointError, match="would have to run code"):
        convert(tmp_path / "net.th", name="mine")
    assert not (tmp_path / "marker").exists()
    assert pickle.loads(pickle.dumps(Marker(tmp_path / "marker"))) is None
    assert (tmp_path / "marker").exists(), "the marker works"


@pytest.mark.parametrize("text", ["1/0", "1e9/3", "1e400000000", "-1/2", "1/2/3", "x"])
def test_only_small_fractions(text: str) -> None:
    with pytest.raises(ValueError, match="is not a fraction"):
        stand_ins.Ratio(text)


@pytest.mark.parametrize(
    "line",
    [
        "run: !!python/object/apply:os.mkdir [MARKER]",
        "run: !!python/object/new:os.mkdir [MARKER]",
        "run: !!python/name:os.mkdir",
        "run: !!python/module:antigravity",
        "run: !unknown {}",
    ],
)
def test_tags_of_yaml_are_not_run(line: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("model: {dim: 12}\n" + line.replace("MARKER", str(tmp_path / "marker")))
    with pytest.raises(ConfigError, match="not valid YAML: could not determine a constructor"):
        read_settings(path)
    assert not (tmp_path / "marker").exists()


def test_tuples_in_yaml_are_lists(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("model: {freqs_per_bands: !!python/tuple [2, 3]}")
    assert read_settings(path).values == {"model.freqs_per_bands": [2, 3]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no sections"),
        ("- 1", "has no sections"),
        ("model: 3", "has none of the sections"),
        ("model: {", "not valid YAML"),
        ("model: !!python/tuple x", "not valid YAML"),
    ],
)
def test_other_yaml_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(path)
    with pytest.raises(ConfigError, match="does not exist"):
        read_settings(tmp_path / "absent.yaml")


def test_frames_and_names_in_yaml(tmp_path: Path) -> None:
    """By hand: 801 frames with a hop of 441 cover 352,800 samples; the first rest is not alone."""
    path = tmp_path / "net.yaml"
    path.write_text(
        "audio: {hop_length: 441}\ninference: {dim_t: 801}\n"
        "training: {instruments: [a, b, c], target_instrument: b}"
    )
    settings = read_settings(path)
    assert settings.values["audio.chunk_size"] == 352_800
    assert (settings.stems, settings.rest) == (("b",), "")


def test_a_published_network_is_installed_from_its_files(tmp_path: Path, zoo: Path) -> None:
    path, _, network = write(NETWORKS["bs"], tmp_path)
    public = PublicModel(
        "mine",
        "bs_roformer",
        (RemoteFile("https://host/net.ckpt", "0" * 64),),
        ("vocals",),
        residual="instrumental",
        sample_rate=16_000,
        options=PublicOptions(hop=60, chunk=2000, overlap=0.75),
        licence="MIT",
        authors="A. Author",
    )
    card = install_public(public, [path])
    assert (card.licence, card.authors, card.overlap) == ("MIT", "A. Author", 0.75)
    assert (card.outputs, card.grid) == (("vocals", "instrumental"), "msst")
    assert (card.parameters, card.sample_rate) == (network.parameter_count(), 16_000)
    assert card.url == "https://host/net.ckpt"
    with pytest.raises(CheckpointError, match="holds a network bs_roformer instead of scnet"):
        install_public(replace(public, name="other", architecture="scnet"), [path])


def test_a_known_file_gets_its_card(
    tmp_path: Path, zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, _ = write(NETWORKS["hdemucs"], tmp_path)
    public = PublicNetwork("hdemucs", FOUR, facts={"licence": "unknown", "paper": "A paper"})
    module = import_module("model_zoo.importers.convert")
    monkeypatch.setattr(module, "known_files", lambda digests: public)
    card = convert(path, name="mine")
    assert (card.name, card.licence, card.paper) == ("mine", "unknown", "A paper")
    assert convert(path, name="mine", licence="MIT", overwrite=True).licence == "MIT"
