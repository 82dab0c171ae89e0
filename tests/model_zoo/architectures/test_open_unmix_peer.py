"""Open-Unmix against the authors' package openunmix 1.3.0, with the same random weights."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model_zoo.architectures.open_unmix import OpenUnmix
from model_zoo.ops import torchaudio_functions
from tests.model_zoo.architectures.test_open_unmix import PUBLISHED

pytestmark = pytest.mark.peers

SMALL: dict[str, Any] = {
    **{"hidden_size": 16, "num_layers": 2, "num_bins": 96},
    **{"wiener_win_len": 16, "window_size": 256, "hop_size": 64, "sample_rate": 16_000},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "masked mixture": {"niter": 0},
    "three iterations": {"niter": 3},
    "soft masks": {"softmask": True},
    "soft masks, not filtered": {"softmask": True, "niter": 0},
    "residual": {"residual": True},
    "residual, not filtered": {"residual": True, "niter": 0},
    "residual of soft masks": {"residual": True, "softmask": True, "niter": 2},
    "a stem and the residual": {"stems": ("vocals", "rest"), "residual": True},
    "single stem": {"stems": ("vocals",), "niter": 0},
    "whole mixture": {"wiener_win_len": None},
    "one long window": {"wiener_win_len": 300},
    "all bins": {"num_bins": 129},
    "one layer": {"num_layers": 1},
    "causal": {"unidirectional": True},
    "mono": {"audio_channels": 1, "stems": ("speech", "noise")},
    "mono, not filtered": {"audio_channels": 1, "niter": 0},
    "mono with a residual": {"audio_channels": 1, "residual": True, "niter": 2},
}


@pytest.fixture(scope="module")
def peer() -> ModuleType:
    """The module of the authors' networks."""
    assert torchaudio_functions.functional, "imported first, so that openunmix can be imported"
    return import_module("openunmix.model")


def theirs_of(peer: ModuleType, ours: OpenUnmix) -> nn.Module:
    """The authors' separator of the same size, with weights far from their initial values."""
    config = ours.config
    targets = {
        stem: peer.OpenUnmix(
            nb_bins=config.bins,
            nb_channels=config.audio_channels,
            hidden_size=config.hidden_size,
            nb_layers=config.num_layers,
            unidirectional=config.unidirectional,
            max_bin=config.num_bins,
        )
        for stem in config.stems[: config.masked_stems]
    }
    separator: nn.Module = peer.Separator(
        target_models=targets,
        niter=config.niter,
        softmask=config.softmask,
        residual=config.residual,
        sample_rate=config.sample_rate,
        n_fft=config.window_size,
        n_hop=config.hop_size,
        nb_channels=config.audio_channels,
        wiener_win_len=config.wiener_win_len,
    )
    return perturbed(separator)


def perturbed(separator: nn.Module) -> nn.Module:
    """Change every parameter and statistic of the networks."""
    random = torch.Generator().manual_seed(0)
    for name, value in separator.target_models.state_dict().items():  # type: ignore[union-attr]
        noise = torch.randn(value.shape, generator=random) if value.is_floating_point() else 0
        if "running_var" in name:
            value.mul_(torch.exp(0.3 * noise))
        elif value.ndim == 1:
            value.add_(0.3 * noise)
        else:
            value.mul_(2)
    return separator.eval()


def pair_of(peer: ModuleType, options: Mapping[str, Any]) -> tuple[OpenUnmix, nn.Module]:
    """Our separator and the authors', with the same weights."""
    ours = OpenUnmix(**options).eval()
    theirs = theirs_of(peer, ours)
    networks: Any = theirs.target_models
    for target, network in zip(ours.targets, networks.values(), strict=True):
        target.load_state_dict(network.state_dict())
    return ours, theirs


def noise(batch: int, channels: int, samples: int) -> Tensor:
    """A mixture whose channels are related, with a loud and a quiet part."""
    random = torch.Generator().manual_seed(1)
    wave = torch.randn(batch, channels, samples, generator=random)
    common = torch.randn(batch, 1, samples, generator=random)
    return (wave + common) * torch.linspace(0.5, 0.01, samples)


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).square().sum() / expected.square().sum()) ** 0.5


def run(ours: OpenUnmix, theirs: nn.Module, mixture: Tensor) -> float:
    """Relative error of our stems."""
    with torch.inference_mode():
        relative = relative_error(ours(mixture), theirs(mixture.clone()))
    print(f"relative error {relative:.1e}")
    return relative


@pytest.mark.parametrize("name", VARIANTS)
def test_every_option_computes_the_same(peer: ModuleType, name: str) -> None:
    ours, theirs = pair_of(peer, {**SMALL, **VARIANTS[name]})
    for batch, samples in ((1, 3000), (2, 2049), (1, 257)):
        assert run(ours, theirs, noise(batch, ours.channels, samples)) < 1e-5


def test_networks_give_the_same_magnitudes(peer: ModuleType) -> None:
    ours, theirs = pair_of(peer, SMALL)
    magnitudes = noise(2, 2, 129 * 20).abs().reshape(2, 2, 129, 20)
    networks: Any = theirs.target_models
    with torch.inference_mode():
        masks = ours.core(magnitudes[..., :96, :])
        for mask, network in zip(masks.unbind(1), networks.values(), strict=True):
            assert relative_error(mask * magnitudes, network(magnitudes)) < 1e-5


def test_loud_mixtures_compute_the_same_as_in_float64(peer: ModuleType) -> None:
    """Both scale windows whose largest magnitude is above 10."""
    ours, theirs = pair_of(peer, SMALL)
    mixture = 100 * noise(1, 2, 3000)
    with torch.inference_mode():
        expected = theirs.double()(mixture.double())
        assert relative_error(ours(mixture), expected) < 1e-5


def test_a_mono_file_is_like_one_channel_of_two_equal_ones(peer: ModuleType) -> None:
    """The authors' program doubles a mono file before a network for one channel.

    In float64, because in float32 their filter has no result for two equal channels.
    """
    ours, theirs = pair_of(peer, {**SMALL, **VARIANTS["mono"]})
    mixture = noise(1, 1, 3000)
    with torch.inference_mode():
        doubled = theirs.double()(mixture.repeat(1, 2, 1).double())
        assert relative_error(ours(mixture), doubled[:, :, :1]) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_compute_the_same(peer: ModuleType, name: str) -> None:
    """Longer than one window of the filter, whose 300 frames are 7 or 9.6 s."""
    ours, theirs = pair_of(peer, PUBLISHED[name])
    seconds = 310 * ours.config.hop_size / ours.sample_rate
    mixture = noise(1, ours.channels, int(seconds * ours.sample_rate) + 1)
    assert run(ours, theirs, mixture) < 1e-5
