"""HTDemucs and Hybrid Demucs with the weights of demucs 4.1.0's networks, and its outputs.

Reference: demucs 4.1.0 (MIT), run beside ours in float32. Random weights are disturbed, so that no
factor is 1, no bias is 0 and residual branches are as loud as what they are added to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model_zoo import registry
from model_zoo.separator import Separator
from tests.model_zoo.architectures.demucs_layouts import PUBLISHED, digest

pytestmark = pytest.mark.peers

RATE = 16_000
SEGMENT = 2048
CLOSE = 1e-5
"""Largest difference, relative to the largest sample."""

MODES = {"encoder": 1, "decoder": 2, "both": 3}

TRANSFORMER = {
    **{"channels": 8, "depth": 2, "dconv_comp": 4, "bottom_channels": 24},
    **{"t_layers": 3, "t_heads": 2, "t_hidden_scale": 2.0, "dconv_mode": "both"},
}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "tokens as wide as the lowest level": {"bottom_channels": None},
    "wider tokens": {},
    "branches in the encoder": {"dconv_mode": "encoder"},
    "branches in the decoder": {"dconv_mode": "decoder"},
    "three branches": {"dconv_depth": 3},
    "three levels": {"depth": 3, "window_size": 512},
    "ends with attention to the other": {"t_layers": 4},
}
HYBRID = {
    **{"channels": 8, "depth": 4, "norm_starts": 2, "dconv_comp": 4},
    **{"dconv_lstm": 2, "dconv_attn": 2},
}
HYBRIDS: dict[str, dict[str, Any]] = {
    "as published": {},
    "magnitudes": {"output": "magnitude"},
    "old padding": {"hybrid_old": True},
    "magnitudes with old padding": {"output": "magnitude", "hybrid_old": True},
    "three bands in two levels": {"multi_freqs": (0.25, 0.6), "multi_freqs_depth": 2},
    "two bands in one level": {"multi_freqs": (0.5,), "multi_freqs_depth": 1, "hybrid_old": True},
    "branches in both": {"dconv_mode": "both"},
    "branches in the decoder": {"dconv_mode": "decoder"},
    "no level below": {"depth": 3},
    "two levels below": {"depth": 5},
    "no attention": {"dconv_attn": 9, "dconv_lstm": 3},
    "no normalization": {"norm_starts": 9},
    "no embedding": {"freq_emb": 0.0},
    "three branches in narrower layers": {"dconv_depth": 3, "dconv_comp": 8},
    "a longer window": {"window_size": 1024},
}
MAPPED = ("window_size", "dconv_mode", "bottom_channels", "output", "stems", "sample_rate")


def peer_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options by demucs' names and in its values."""
    named = {name: value for name, value in options.items() if name not in MAPPED}
    if "dconv_mode" in options:
        named["dconv_mode"] = MODES[options["dconv_mode"]]
    if "bottom_channels" in options:
        named["bottom_channels"] = options["bottom_channels"] or 0
    if "output" in options:
        named["cac"] = options["output"] == "spectrum"
    return named


def peer(architecture: str, stems: int, **options: Any) -> nn.Module:
    from demucs.hdemucs import HDemucs
    from demucs.htdemucs import HTDemucs

    kind = {"htdemucs": HTDemucs, "hdemucs": HDemucs}[architecture]
    return kind([f"stem{number}" for number in range(stems)], **options)


def disturb(network: nn.Module) -> None:
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.parameters():
            spread = value.std() if value.numel() > 1 and value.std() > 0 else torch.tensor(1.0)
            value.add_(0.3 * spread * torch.randn(value.shape, generator=draws))
            if value.ndim == 1:
                value.add_(0.2 * torch.randn(value.shape, generator=draws))


def pair(
    architecture: str, options: Mapping[str, Any], channels: int = 2
) -> tuple[Separator, nn.Module]:
    """Our network and demucs', with the same weights."""
    torch.manual_seed(0)
    window = options.get("window_size", 128 if architecture == "htdemucs" else 256)
    theirs = peer(
        *(architecture, 2),
        **{**peer_options(options), "audio_channels": channels},
        **{"nfft": window, "samplerate": RATE, "segment": SEGMENT / RATE},
    )
    disturb(theirs)
    same = {"audio_channels": channels, "sample_rate": RATE, "segment": SEGMENT}
    ours = registry.build(
        architecture, {**options, **same, "stems": ("a", "b"), "window_size": window}
    )
    ours.load_state_dict(theirs.state_dict())
    return ours.eval(), theirs.eval()


def error(ours: nn.Module, theirs: nn.Module, mixture: Tensor) -> float:
    """Largest difference of the outputs, relative to their largest sample."""
    with torch.no_grad():
        expected, found = theirs(mixture), ours(mixture)
    assert found.shape == expected.shape
    assert expected.std() > 0.01
    relative = float((found - expected).abs().max() / expected.abs().max())
    print(f"relative error {relative:.1e}")
    return relative


def noise(channels: int, samples: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, samples, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("variant", TRANSFORMERS)
def test_htdemucs(variant: str, channels: int) -> None:
    ours, theirs = pair("htdemucs", {**TRANSFORMER, **TRANSFORMERS[variant]}, channels)
    for samples in (SEGMENT, SEGMENT - 49, 600):
        assert error(ours, theirs, noise(channels, samples)) < CLOSE, samples


def test_htdemucs_in_training() -> None:
    """Clips are not padded to the segment, and any length is accepted."""
    options = {**TRANSFORMER, "t_dropout": 0.0}
    ours, theirs = pair("htdemucs", options)
    for samples in (1501, 3001):
        assert error(ours.train(), theirs.train(), noise(2, samples)) < CLOSE, samples


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("variant", HYBRIDS)
def test_hdemucs(variant: str, channels: int) -> None:
    ours, theirs = pair("hdemucs", {**HYBRID, **HYBRIDS[variant]}, channels)
    for samples in (SEGMENT, SEGMENT - 49, 333, 256, 158, 97, 50, 2):
        assert error(ours, theirs, noise(channels, samples)) < CLOSE, samples


def test_hdemucs_with_lstms_in_chunks() -> None:
    """469 and 235 steps at the two lowest levels, where an LSTM sees 200 at once."""
    ours, theirs = pair("hdemucs", HYBRID)
    assert error(ours, theirs, noise(2, 30_011)) < CLOSE


def test_silence_in_magnitude_networks() -> None:
    """The phase of silence is 0 in both."""
    ours, theirs = pair("hdemucs", {**HYBRID, "output": "magnitude"})
    mixture = noise(2, 4000)
    mixture[..., 1000:3000] = 0
    assert error(ours, theirs, mixture) < CLOSE


@pytest.mark.parametrize("name", PUBLISHED)
def test_layouts_of_published_networks(name: str) -> None:
    published = PUBLISHED[name]
    with torch.device("meta"):
        theirs = peer(published.architecture, len(published.stems), **published.peer)
    assert digest(theirs) == published.digest


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_size(name: str) -> None:
    """At full size; the transformer's segment is fixed, the others get 3 seconds."""
    published = PUBLISHED[name]
    theirs = peer(published.architecture, len(published.stems), **published.peer)
    disturb(theirs)
    ours = registry.build(published.architecture, {**published.options, "stems": published.stems})
    ours.load_state_dict(theirs.state_dict())
    samples = 343_980 if published.architecture == "htdemucs" else 132_301
    assert error(ours.eval(), theirs.eval(), noise(2, samples, batch=1)) < CLOSE
