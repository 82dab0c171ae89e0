"""Checkpoints under the names of the authors' programs become our networks again.

Reference: the network that a checkpoint is written from: options, tensors and output are the same.
Outputs of the authors' own networks: tests/model_zoo/importers/test_peer_checkpoints.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from model_zoo import weights
from model_zoo.catalogue import resolve
from model_zoo.importers import convert
from tests.model_zoo.importers.published import (
    FOUR,
    NETWORKS,
    Change,
    Published,
    published_tensors,
    write,
)

STEMS = ("vocals", "drums", "bass")
SETS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "mel, three stems": ("mel", {"stems": STEMS}, {"num_stems": 3}),
    "mel, mono": ("mel", {"audio_channels": 1}, {"stereo": False}),
    "mel, blocks": (
        "mel",
        {"time_blocks": 2, "freq_blocks": 3},
        {"time_transformer_depth": 2, "freq_transformer_depth": 3},
    ),
    "mel, masks": (
        "mel",
        {"mask_layers": 4, "mask_expansion": 2},
        {"mask_estimator_depth": 3, "mlp_expansion_factor": 2},
    ),
    "mel, both norms": ("mel", {"norm": "both"}, {}),
    "mel, biases": ("mel", {"attention_bias": True}, {"use_shared_bias": True}),
    "mel, only in the file": (
        "mel",
        {"skip_connection": True, "zero_dc": False},
        {"skip_connection": True, "zero_dc": False},
    ),
    "bs, mono": ("bs", {"audio_channels": 1}, {"stereo": False}),
    "bs, both norms": ("bs", {"norm": "both"}, {}),
    "bs, one linear layer": (
        "bs",
        {"mask_layers": 1, "mask_expansion": 2},
        {"mask_estimator_depth": 1, "mlp_expansion_factor": 2},
    ),
    "scnet, masks": ("scnet", {"output": "mask"}, {}),
    "scnet, strides": (
        "scnet",
        {"band_strides": (1, 4, 4), "band_kernels": (3, 4, 4), "expand": 2, "normalized": False},
        {"band_stride": [1, 4, 4], "band_kernel": [3, 4, 4], "expand": 2, "normalized": False},
    ),
    "mdx23c, batch norm": (
        "mdx23c",
        {"norm": "BatchNorm", "activation": "relu"},
        {"norm": "BatchNorm", "act": "relu"},
    ),
    "mdx23c, groups": ("mdx23c", {"norm": "GroupNorm2"}, {"norm": "GroupNorm2"}),
    "htdemucs, narrow": ("htdemucs", {"bottom_channels": None}, {"bottom_channels": 0}),
    "htdemucs, branches": ("htdemucs", {"dconv_mode": "encoder"}, {"dconv_mode": 1}),
    "hdemucs, magnitudes": ("hdemucs", {"output": "magnitude"}, {"cac": False}),
    "hdemucs, bands": (
        "hdemucs",
        {"multi_freqs": (0.25, 0.6), "multi_freqs_depth": 2, "hybrid_old": True},
        {"multi_freqs": [0.25, 0.6], "multi_freqs_depth": 2, "hybrid_old": True},
    ),
    "hdemucs, branches": ("hdemucs", {"dconv_mode": "decoder"}, {"dconv_mode": 2}),
    "hdemucs, deeper": (
        "hdemucs",
        {"depth": 5, "freq_emb": 0.0, "dconv_lstm": 3},
        {"freq_emb": 0.0},
    ),
}


def variant(name: str) -> Published:
    base, options, model = SETS.get(name, (name, {}, {}))
    stems = options.get("stems", NETWORKS[base].stems)
    changed = NETWORKS[base].with_options(options, model)
    return Published(**{**vars(changed), "stems": stems})


def stored(zoo: Path) -> dict[str, Tensor]:
    return weights.read(zoo / "mine.safetensors").tensors


def assert_same(tensors: dict[str, Tensor], original: torch.nn.Module) -> None:
    assert tensors.keys() == original.state_dict().keys()
    for name, value in original.state_dict().items():
        assert torch.equal(tensors[name], value), name


@pytest.mark.parametrize("name", [*NETWORKS, *SETS])
def test_a_network_comes_back(name: str, tmp_path: Path, zoo: Path) -> None:
    published = variant(name)
    path, config, network = write(published, tmp_path)
    card = convert(path, name="mine", config=config)
    assert card.architecture == published.architecture
    loaded = resolve.load("mine")
    differing = {
        key: (value, original)
        for key, value in loaded.config.to_dict().items()
        if value != (original := network.config.to_dict()[key]) and key != "dropout"
    }
    assert differing == {}
    assert_same(loaded.state_dict(), network)
    mixture = torch.linspace(-30, 30, 2 * 2048).sin().reshape(1, 2, -1)[:, : network.channels]
    with torch.no_grad():
        assert torch.equal(loaded(mixture), network(mixture))


@pytest.mark.parametrize(
    ("name", "grid", "level", "overlap", "residual"),
    [
        ("mel", "msst", None, 0.75, "other"),
        ("bs", "msst", None, 0.75, "other"),
        ("scnet", "msst", None, 0.75, ""),
        ("mdx23c", "msst", None, 0.75, ""),
        ("htdemucs", "htdemucs", "standard", 0.25, ""),
        ("hdemucs", "hdemucs", "standard", 0.25, ""),
    ],
)
def test_the_card_says_how_the_authors_separate(
    name: str,
    grid: str,
    level: str | None,
    overlap: float,
    residual: str,
    tmp_path: Path,
    zoo: Path,
) -> None:
    """By hand: 4 chunks over each sample overlap by 3/4; Demucs' usual overlap is 1/4."""
    path, config, network = write(NETWORKS[name], tmp_path)
    card = convert(path, name="mine", config=config)
    assert (card.grid, card.level, card.overlap) == (grid, level, overlap)
    assert (card.stems, card.residual) == (network.stems, residual)
    assert (card.sample_rate, card.parameters) == (16_000, network.parameter_count())
    digest = weights.read(zoo / "mine.safetensors").metadata["source_sha256"]
    assert f"checkpoint network.ckpt (SHA-256 {digest})" in card.source


def with_prefix(prefix: str) -> Change:
    return lambda tensors: {f"{prefix}{name}": value for name, value in tensors.items()}


def averaged(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {**with_prefix("module.")(tensors), "n_averaged": torch.tensor(7)}


WRAPPERS: dict[str, Change] = {
    "bare": lambda tensors: {**tensors},
    "state": lambda tensors: {"state": tensors, "epoch": 3},
    "state_dict": lambda tensors: {"state_dict": tensors, "optimizer": {"lr": 1e-3}},
    "model_state_dict": lambda tensors: {"epoch": 1, "model_state_dict": tensors},
    "best_state": lambda tensors: {"best_state": tensors, "metrics": {"sdr": 9.1}},
    "model": lambda tensors: {"model": tensors},
    "DDP": with_prefix("module."),
    "Lightning": lambda tensors: {"state_dict": with_prefix("model.")(tensors)},
    "compiled": with_prefix("_orig_mod."),
    "compiled in DDP": with_prefix("module._orig_mod."),
    "average": averaged,
    "average in a checkpoint": lambda tensors: {"state_dict": averaged(tensors)},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", ["mel", "mdx23c", "htdemucs"])
def test_wrappers_are_removed(name: str, wrapper: str, tmp_path: Path, zoo: Path) -> None:
    path, config, network = write(NETWORKS[name], tmp_path, change=WRAPPERS[wrapper])
    heads = {"num_heads": 2} if name == "htdemucs" else {}
    convert(path, name="mine", config=config, **heads)
    assert_same(stored(zoo), network)


@pytest.mark.parametrize("name", ["bs", "mdx23c", "htdemucs"])
def test_half_precision_is_kept(name: str, tmp_path: Path, zoo: Path) -> None:
    change: Change = lambda tensors: {key: x.half() for key, x in tensors.items()}  # noqa: E731
    path, config, network = write(NETWORKS[name], tmp_path, change=change)
    heads = {"num_heads": 2} if name == "htdemucs" else {}
    convert(path, name="mine", config=config, **heads)
    tensors = stored(zoo)
    parameters = dict(network.named_parameters())
    assert {key for key, x in tensors.items() if x.dtype == torch.float16} == parameters.keys()
    for key, value in parameters.items():
        assert torch.equal(tensors[key], value.half()), key


def test_brain_floats_become_float32(tmp_path: Path, zoo: Path) -> None:
    """float16 could not hold them."""
    change: Change = lambda tensors: {key: x.bfloat16() for key, x in tensors.items()}  # noqa: E731
    path, config, network = write(NETWORKS["bs"], tmp_path, change=change)
    convert(path, name="mine", config=config)
    tensors = stored(zoo)
    for key, value in network.named_parameters():
        assert torch.equal(tensors[key], value.bfloat16().float()), key


@pytest.mark.parametrize("name", ["htdemucs", "hdemucs"])
def test_arguments_in_metadata(name: str, tmp_path: Path, zoo: Path) -> None:
    """demucs 4.1.0 writes fractions as mappings; 16 s / 125 are 2048 samples."""
    published = NETWORKS[name]
    segment = {"_type": "fraction", "numerator": 16, "denominator": 125}
    arguments = {**(published.arguments or {}), "segment": segment}
    kinds = {"htdemucs": "demucs.htdemucs.HTDemucs", "hdemucs": "demucs.hdemucs.HDemucs"}
    texts = {
        "klass": kinds[name],
        "args": json.dumps([["a", "b", "c", "d"]]),
        "kwargs": json.dumps(arguments),
    }
    save_file(published_tensors(published.network()), tmp_path / "net.safetensors", texts)
    card = convert(tmp_path / "net.safetensors", name="mine")
    assert card.stems == ("a", "b", "c", "d")
    assert weights.read(zoo / "mine.safetensors").config["segment"] == 2048


def test_tensors_alone_have_the_published_stems(tmp_path: Path, zoo: Path) -> None:
    change: Change = lambda tensors: {"state_dict": tensors}  # noqa: E731
    path, _, _ = write(NETWORKS["hdemucs"], tmp_path, change=change)
    card = convert(path, name="mine")
    assert card.stems == FOUR
    config = weights.read(zoo / "mine.safetensors").config
    assert (config["sample_rate"], config["segment"]) == (44_100, 40 * 44_100)


def test_stems_and_the_rest_get_other_names(tmp_path: Path, zoo: Path) -> None:
    path, config, _ = write(NETWORKS["mel"], tmp_path)
    card = convert(path, name="mine", config=config, stems=("lead",), residual="band")
    assert card.outputs == ("lead", "band")
