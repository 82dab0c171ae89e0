"""The RoFormers compute what the programs compute whose checkpoints are public.

Reference: BS-RoFormer 0.3.10 of lucidrains, and msst 0.1.0, which is ZFTurbo's
Music-Source-Separation-Training as a library, for options that the former lacks. Both with the
same random weights. Neither has a bias in attention (``attention_bias``), which is compared with
its definition in tests/model_zoo/blocks/test_band_split.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model_zoo import registry
from model_zoo.architectures.band_split_roformer import BandSplitSeparator, MelBandRoFormerConfig
from tests.model_zoo.blocks.weights import pattern

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:A window was not provided:UserWarning"),
]

CLASSES = {"mel_band_roformer": "MelBandRoformer", "bs_roformer": "BSRoformer"}
PACKAGES = ("bs_roformer", "msst.models.bs_roformer")
BINS = (3, 4, 10, 16, 32, 64)

OURS: dict[str, Any] = {
    **{"hidden_channels": 12, "num_layers": 3, "num_heads": 2, "head_channels": 6, "dropout": 0.1},
    **{"window_size": 256, "hop_size": 60, "sample_rate": 16_000, "segment": 2000},
}
THEIRS: dict[str, Any] = {
    **{"dim": 12, "depth": 3, "heads": 2, "dim_head": 6, "stereo": True, "flash_attn": False},
    **{"stft_n_fft": 256, "stft_hop_length": 60, "stft_win_length": 256},
    **{"time_transformer_depth": 1, "freq_transformer_depth": 1, "mask_estimator_depth": 2},
}
OURS_EACH = {
    "mel_band_roformer": {**OURS, "num_bands": 10},
    "bs_roformer": {**OURS, "bins_per_band": BINS},
}
THEIRS_EACH = {
    "mel_band_roformer": {**THEIRS, "num_bands": 10, "sample_rate": 16_000},
    "bs_roformer": {**THEIRS, "freqs_per_bands": BINS},
}

STEMS = ("vocals", "drums", "bass")
OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"stems": STEMS}, {"num_stems": 3}),
    ({"audio_channels": 1}, {"stereo": False}),
    ({"time_blocks": 2}, {"time_transformer_depth": 2}),
    ({"freq_blocks": 2}, {"freq_transformer_depth": 2}),
    ({"num_heads": 3, "head_channels": 8}, {"heads": 3, "dim_head": 8}),
    ({"window_size": 200, "hop_size": 77}, {"stft_n_fft": 200, "stft_hop_length": 77}),
]
"""Our options and theirs, for both packages."""

MSST_OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"zero_dc": True}, {"zero_dc": True}),
    ({"skip_connection": True}, {"skip_connection": True}),
    ({"mask_expansion": 1}, {"mlp_expansion_factor": 1}),
    (
        {"mask_expansion": 2, "zero_dc": True, "skip_connection": True, "stems": STEMS},
        {"mlp_expansion_factor": 2, "zero_dc": True, "skip_connection": True, "num_stems": 3},
    ),
]
"""Options that only msst has."""


def peer(package: str, name: str, options: Mapping[str, Any]) -> nn.Module:
    """The original network with weights of which none is near a special value."""
    kind = getattr(importlib.import_module(package), CLASSES[name])
    torch.manual_seed(0)
    network = kind(**options).eval()
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if "rotary_embed" not in key:
                parameter.mul_(1.5).add_(0.2 * torch.randn_like(parameter))
    return network


def ours(name: str, options: Mapping[str, Any], original: nn.Module) -> BandSplitSeparator:
    """Our network with the weights of the original."""
    network = registry.build(name, options).eval()
    weights = {
        key: value
        for key, value in original.state_dict().items()
        if not key.endswith("rotary_embed.freqs")
    }
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (["fourier.window"], [])
    assert isinstance(network, BandSplitSeparator)
    return network


@torch.inference_mode()
def error(original: nn.Module, network: BandSplitSeparator, mixture: Tensor) -> float:
    """Largest difference, relative to the largest sample of the original's output.

    Some originals drop the samples after the last full hop.
    """
    expected, output = original(mixture), network(mixture)
    assert output.shape == (len(mixture), len(network.stems), *mixture.shape[1:])
    if len(network.stems) == 1 and expected.ndim == 3:
        expected = expected.unsqueeze(1)
    hop = network.config.hop_size
    assert expected.shape[-1] in (mixture.shape[-1], mixture.shape[-1] // hop * hop)
    difference = output[..., : expected.shape[-1]] - expected
    relative = (difference.abs().max() / expected.abs().max()).item()
    print(f"{type(network).__name__}: {relative:.1e}")
    return relative


def mask_layers(name: str, depth: int) -> int:
    """The same option means one linear layer less in a BSRoformer."""
    return depth + 1 if name == "mel_band_roformer" else depth


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(("options", "theirs"), OPTIONS)
def test_options_of_both_packages(
    name: str, package: str, options: dict[str, Any], theirs: dict[str, Any]
) -> None:
    if "window_size" in options:
        options, theirs = {**options, **OTHER_BANDS[name][0]}, {**theirs, **OTHER_BANDS[name][1]}
    compare(package, name, options, {"zero_dc": False, **theirs})


OTHER_BANDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mel_band_roformer": ({"num_bands": 14}, {"num_bands": 14, "stft_win_length": 200}),
    "bs_roformer": (
        {"bins_per_band": (1, 50, 50)},
        {"freqs_per_bands": (1, 50, 50), "stft_win_length": 200},
    ),
}
"""Bands for the other window."""


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(("options", "theirs"), MSST_OPTIONS)
def test_options_of_msst(name: str, options: dict[str, Any], theirs: dict[str, Any]) -> None:
    compare("msst.models.bs_roformer", name, options, {"zero_dc": False, **theirs})


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("name", CLASSES)
def test_layers_of_the_mask_estimators(name: str, depth: int, package: str) -> None:
    theirs = {"mask_estimator_depth": depth, "zero_dc": False}
    compare(package, name, {"mask_layers": mask_layers(name, depth)}, theirs)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("matches", [False, True])
def test_mel_networks_that_keep_the_length(package: str, matches: bool) -> None:
    theirs = {"match_input_audio_length": matches, "zero_dc": False}
    compare(package, "mel_band_roformer", {}, theirs)


def compare(package: str, name: str, options: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Odd and even lengths, and silence in one channel."""
    if package == "bs_roformer":
        theirs = {key: value for key, value in theirs.items() if key != "zero_dc"}
    original = peer(package, name, {**THEIRS_EACH[name], **theirs})
    network = ours(name, {**OURS_EACH[name], **options}, original)
    for length in (256, 1001, 3000):
        mixture = 0.3 * pattern(2, network.channels, length)
        mixture[1, 0] = 0.0
        assert error(original, network, mixture) < 1e-5


@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "bands"),
    [
        *((44_100, 2048, bands) for bands in (32, 48, 60, 64, 72, 80, 128)),
        *((rate, 2048, 60) for rate in (16_000, 22_050, 32_000, 48_000)),
        *((44_100, n_fft, 60) for n_fft in (1024, 4096, 8192)),
    ],
)
def test_mel_bands_are_those_of_librosa(sample_rate: int, n_fft: int, bands: int) -> None:
    """With the first and the last bin forced into the outer bands, as the originals do."""
    filters = importlib.import_module("librosa.filters")
    expected = torch.from_numpy(filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=bands)) > 0
    expected[0, 0] = expected[-1, -1] = True
    config = MelBandRoFormerConfig(num_bands=bands, sample_rate=sample_rate, window_size=n_fft)
    assert torch.equal(config.members(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("mel_band_roformer", {"dim": 384, "depth": 6}),
        ("bs_roformer", {"dim": 512, "depth": 12}),
    ],
)
def test_published_networks_at_full_size(package: str, name: str, theirs: dict[str, Any]) -> None:
    """The default options are those of the public models for vocals."""
    common = {
        **{"stereo": True, "time_transformer_depth": 1, "freq_transformer_depth": 1},
        **{"stft_hop_length": 441, "mask_estimator_depth": 2, "flash_attn": False},
    }
    if package != "bs_roformer":
        common["zero_dc"] = False
    original = peer_at_full_size(package, name, {**common, **theirs})
    assert error(original, ours(name, {}, original), 0.3 * pattern(1, 2, 60_001)) < 1e-5


def peer_at_full_size(package: str, name: str, options: Mapping[str, Any]) -> nn.Module:
    """The original network with gains that are not 1, which leaves its layers well conditioned."""
    kind = getattr(importlib.import_module(package), CLASSES[name])
    torch.manual_seed(0)
    network = kind(**options).eval()
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith("gamma"):
                parameter.uniform_(0.5, 1.5)
    return network
