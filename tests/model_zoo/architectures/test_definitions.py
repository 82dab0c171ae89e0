"""The mel-band networks. Reference: their specification, step by step in plain torch, and masks
with a known effect."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo import registry
from model_zoo.errors import ConfigError
from tests.model_zoo.blocks.weights import fill, pattern

SPECTRAL = {"window_size": 128, "hop_size": 32, "sample_rate": 16_000, "num_bands": 6}
SIZES: dict[str, dict[str, Any]] = {
    "melroformer": {"hidden_channels": 16, "num_layers": 2, "num_heads": 4},
    "melrnn": {"hidden_channels": 16, "num_layers": 2, "num_groups": 4},
    "melunet": {"hidden_channels": 6, "num_layers": 3},
}
MIXTURE = pattern(2, 1, 555)


def network(name: str, **options: object) -> Any:
    return fill(registry.build(name, {**SIZES[name], **SPECTRAL, **options}), size=0.2)


def spectrum(wave: Tensor) -> Tensor:
    window = torch.hann_window(128)
    return torch.view_as_real(torch.stft(wave, 128, 32, window=window, return_complex=True))


def waveform(parts: Tensor, length: int) -> Tensor:
    window = torch.hann_window(128)
    stft = torch.view_as_complex(parts.contiguous())
    return torch.istft(stft, 128, 32, window=window, length=length)


def along_both_axes(net: Any, x: Tensor) -> Tensor:
    """Apply the blocks along frequency, then along time, one sequence at a time."""
    x = x.clone()
    batch, _, frames, bands = x.shape
    for freq_block, time_block in zip(net.freq_blocks, net.time_blocks, strict=True):
        for item in range(batch):
            for t in range(frames):
                x[item, :, t] = freq_block(x[item, :, t].T[None])[0].T
            for k in range(bands):
                x[item, :, :, k] = time_block(x[item, :, :, k].T[None])[0].T
    return x


@pytest.mark.parametrize("name", ["melroformer", "melrnn"])
def test_dual_path_networks(name: str) -> None:
    net = network(name)
    with torch.no_grad():
        parts = spectrum(MIXTURE[:, 0])
        numbers = net.band.unsplit(along_both_axes(net, net.band.split(parts)))
        # The transformer scales real and imaginary parts; the others output the spectrum itself.
        expected = waveform(parts * numbers if name == "melroformer" else numbers, 555)
        torch.testing.assert_close(net(MIXTURE)[:, 0, 0], expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("factor", [2, 3])
def test_u_network(factor: int) -> None:
    net = network("melunet", upsampling_factor=factor)
    with torch.no_grad():
        zero = net.band.split(spectrum(MIXTURE[:, 0]))
        one = net.downsampling_blocks[0](zero)
        two = net.downsampling_blocks[1](one)
        deep = net.downsampling_blocks[2](two)
        assert one.shape[2:] == tuple(-(-side // factor) for side in zero.shape[2:])
        x = net.upsampling_blocks[2](deep, two.shape[2:]) + two
        x = net.upsampling_blocks[1](x, one.shape[2:]) + one
        x = net.upsampling_blocks[0](x, zero.shape[2:])
        expected = waveform(net.band.unsplit(x), 555)
        torch.testing.assert_close(net(MIXTURE)[:, 0, 0], expected, atol=1e-4, rtol=1e-3)


def test_sequences_longer_than_the_segment_give_the_same() -> None:
    short = network("melroformer", segment=512)
    default = network("melroformer")
    long = pattern(1, 1, 4000)
    assert torch.equal(short(long), default(long))


KINDS = [
    {"audio_channels": channels, "stereo": stereo, "features": features, "mask_mult": mult}
    for channels, stereo in [(1, "lr"), (2, "lr"), (2, "ms")]
    for features in ["complex", "magnitude"]
    for mult in ["elementwise", "complex", "gain"]
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_a_mask_of_ones_returns_the_mixture_without_dc(kind: dict[str, Any]) -> None:
    net = network("melroformer", overlap_norm="count", stems=["a", "b"], **kind)
    ones = {"elementwise": [1.0, 1.0], "complex": [1.0, 0.0], "gain": [1.0]}[kind["mask_mult"]]
    with torch.no_grad():
        net.band.post_bandnet.weight.zero_()
        bias = net.band.post_bandnet.bias
        bias.copy_(torch.tensor(ones).repeat(bias.numel() // len(ones)).reshape(bias.shape))
        mixture = pattern(2, kind["audio_channels"], 1111)
        parts = spectrum(mixture.flatten(0, 1))
        parts[:, 0] = 0
        expected = waveform(parts, 1111).reshape(mixture.shape)
        for stem in net(mixture).unbind(1):
            torch.testing.assert_close(stem, expected, atol=1e-5, rtol=1e-4)


def test_a_sigmoid_of_zero_halves_the_mixture() -> None:
    net = network("melroformer", mask_mult="gain", mask_activation="sigmoid")
    with torch.no_grad():
        net.band.post_bandnet.weight.zero_()
        net.band.post_bandnet.bias.zero_()
        torch.testing.assert_close(net(MIXTURE)[:, 0], MIXTURE / 2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SIZES)
def test_mono_form_of_the_original(name: str) -> None:
    net = network(name)
    assert torch.equal(net(MIXTURE[:, 0]), net(MIXTURE)[:, 0, 0])


def test_mono_form_is_for_one_stem() -> None:
    net = network("melrnn", stems=["a", "b"])
    with pytest.raises(ConfigError, match="one stem"):
        net(MIXTURE[:, 0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("melroformer", {"num_heads": 3}, "num_heads"),
        ("melroformer", {"num_heads": 0}, "num_heads"),
        ("melrnn", {"num_groups": 3}, "num_groups"),
        ("melrnn", {"num_groups": 0}, "num_groups"),
        ("melunet", {"upsampling_factor": 0}, "upsampling_factor"),
        ("melunet", {"mask_mult": "gain"}, "output='map' needs"),
        ("melunet", {"stems": []}, "stems must name"),
        ("melunet", {"hop_size": 0}, "hop_size must be at least 1, found 0"),
        ("melrnn", {"hop_size": 128}, "hop_size must be below window_size=128, found 128"),
        ("melrnn", {"segment": 127}, "segment must be window_size=128 or more, found 127"),
        ("melunet", {"audio_channels": 3}, "audio_channels must be 1 or 2"),
        ("melrnn", {"stereo": "ms"}, "needs audio_channels=2"),
    ],
)
def test_invalid_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network(name, **options)
