"""HTDemucs and Hybrid Demucs: tensor layouts of published networks, laws and values by hand.

Outputs are compared with the original's in tests/model_zoo/architectures/test_demucs_peer.py.
``STEM_TEST_WEIGHTS`` names a folder with ``htdemucs/htdemucs.safetensors``, the network 955717e8 in
half precision (SHA-256 d3cb2f21...).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor

from model_zoo import registry
from model_zoo.architectures.hdemucs import HDemucs, HDemucsConfig
from model_zoo.architectures.htdemucs import HTDemucs, HTDemucsConfig
from model_zoo.errors import ConfigError
from model_zoo.introspection import build_on_meta
from tests.model_zoo.architectures.demucs_layouts import PUBLISHED, digest
from tests.model_zoo.blocks.weights import fill, pattern

SONG = Path(__file__).parents[3] / "docs" / "demo" / "real"


def small(name: str, **options: Any) -> HTDemucs | HDemucs:
    kind = registry.architecture(name)
    network = fill(registry.build(name, {**kind.small_options, **options}), size=0.2)
    assert isinstance(network, HTDemucs | HDemucs)
    return network


@pytest.mark.parametrize("name", PUBLISHED)
def test_tensor_names_and_shapes_are_those_of_the_published_network(name: str) -> None:
    """Reference: demucs 4.1.0, by digests."""
    published = PUBLISHED[name]
    options = {**published.options, "stems": published.stems}
    network = build_on_meta(published.architecture, options)
    assert len(network.state_dict()) == published.tensors
    assert digest(network) == published.digest


def test_tensors_of_htdemucs_by_hand() -> None:
    """Four levels of two branches in each of four U-Net halves: 22 tensors each."""
    tensors = build_on_meta("htdemucs", {}).state_dict()
    families = Counter(name.partition(".")[0] for name in tensors)
    halves = dict.fromkeys(("encoder", "decoder", "tencoder", "tdecoder"), 4 * 22)
    projections = dict.fromkeys(
        (
            "channel_upsampler",
            "channel_downsampler",
            "channel_upsampler_t",
            "channel_downsampler_t",
        ),
        2,
    )
    # 3 layers of 16 tensors and 2 of 18 for each U-Net, and a norm for each
    assert families == {
        **{**halves, **projections, "freq_emb": 1},
        "crosstransformer": 2 * (3 * 16 + 2 * 18 + 2),
    }
    assert tensors["encoder.0.conv.weight"].shape == (48, 2 * 2, 8, 1)
    assert tensors["decoder.3.conv_tr.weight"].shape == (48, 4 * 2 * 2, 8, 1)
    assert tensors["tdecoder.3.conv_tr.weight"].shape == (48, 4 * 2, 8)
    assert tensors["freq_emb.embedding.weight"].shape == (4096 // 2 // 4, 48)


def test_tensors_of_hdemucs_by_hand() -> None:
    """Six levels, of which five are over frequency; LSTMs and attention from level 4 on."""
    tensors = build_on_meta("hdemucs", {"multi_freqs": [0.5], "multi_freqs_depth": 1}).state_dict()
    assert {int(name.split(".")[1]) for name in tensors if name.startswith("encoder")} == {
        *range(6)
    }
    assert {name for name in tensors if name.startswith(("tencoder.4", "tdecoder.0"))} == {
        *("tencoder.4.conv.weight", "tencoder.4.conv.bias"),
        *("tdecoder.0.conv_tr.weight", "tdecoder.0.conv_tr.bias"),
        *("tdecoder.0.norm2.weight", "tdecoder.0.norm2.bias"),
    }
    with_lstm = {name[:9] for name in tensors if ".lstm." in name}
    assert with_lstm == {"encoder.4", "encoder.5"}
    assert tensors["encoder.5.dconv.layers.1.3.lstm.weight_ih_l1"].shape == (4 * 384, 2 * 384)
    assert tensors["encoder.4.dconv.layers.0.4.query_decay.weight"].shape == (4 * 4, 192, 1)
    assert tensors["decoder.5.layers.1.rewrite.weight"].shape == (2 * 48, 48, 1, 3)


@pytest.mark.parametrize("name", ["htdemucs", "hdemucs"])
def test_stems_are_as_loud_as_the_mixture(name: str) -> None:
    """Law: inputs are standardized and outputs restored, so stems scale with the mixture."""
    network, mixture = small(name), pattern(1, 2, 4096)
    torch.testing.assert_close(network(2 * mixture), 2 * network(mixture), atol=1e-3, rtol=1e-3)


def test_short_mixtures_are_padded_with_zeros_to_the_segment() -> None:
    """By hand; in training they are not."""
    network, mixture = small("htdemucs"), pattern(1, 2, 1000)
    padded = torch.cat([mixture, torch.zeros(1, 2, network.segment - 1000)], dim=-1)
    torch.testing.assert_close(network(mixture), network(padded)[..., :1000])
    assert not torch.allclose(network.train()(mixture), network.eval()(mixture), atol=1e-3)


def test_mixtures_may_be_longer_than_the_segment() -> None:
    network = small("htdemucs")
    assert network(pattern(1, 2, 5001)).shape == (1, 2, 2, 5001)


def test_magnitudes_get_the_phase_of_the_mixture() -> None:
    """By hand: with weights of 0, every bin of every stem has the mean magnitude of the mixture."""
    network, mixture = small("hdemucs", output="magnitude"), pattern(1, 2, 4096)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        spectrum = network.fourier.analyze(mixture)
        flat = spectrum / spectrum.abs() * spectrum.abs().mean()
        expected = network.fourier.synthesize(flat.unsqueeze(1), 4096) + mixture.mean()
    torch.testing.assert_close(network(mixture)[:, :1], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 9}, "depth must be at most 8, found 9"),
        ({"window_size": 1024}, "a multiple of 512 above 1024 for depth=4, found 1024"),
        ({"window_size": 4000}, "a multiple of 512 above 1024 for depth=4, found 4000"),
        ({"audio_channels": 3}, "audio_channels must be 1 or 2, found 3"),
        ({"bottom_channels": 20}, "bottom_channels must be a multiple of 4 and of t_heads=8"),
        (
            {"bottom_channels": None, "channels": 9, "depth": 3},
            "channels of the lowest level must be",
        ),
        ({"channels": 4}, "channels must be dconv_comp=8 or more, found 4"),
        ({"t_dropout": 1.0}, r"t_dropout must be in \[0, 1\), found 1.0"),
        ({"t_hidden_scale": 0.001}, "t_hidden_scale=0.001 leaves no feature"),
    ],
)
def test_impossible_options_of_htdemucs(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        HTDemucsConfig(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window_size": 2048}, "window_size must be one of 64, 256, 1024, 4096, .* found 2048"),
        ({"depth": 4}, "depth must be from 5 to 16 for window_size=4096, found 4"),
        ({"audio_channels": 3}, "audio_channels must be 1 or 2, found 3"),
        ({"channels": 6}, "channels must be a multiple of 4 and dconv_comp=4 or more, found 6"),
        ({"channels": 4, "dconv_attn": 1}, "level dconv_attn=1 must be a multiple of .* found 8"),
        ({"multi_freqs": (0.5,), "multi_freqs_depth": 5}, "multi_freqs_depth must be at most 4"),
        ({"multi_freqs": (0.5, 0.5)}, "leaves no bins for a band"),
        ({"multi_freqs": (0.6, 0.2)}, "leaves no bins for a band"),
        ({"multi_freqs": (0.001,)}, "leaves no bins for a band"),
    ],
)
def test_impossible_options_of_hdemucs(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        HDemucsConfig(**options)


def read(path: Path, samples: int) -> Tensor:
    wave, _ = soundfile.read(path, frames=samples, dtype="float32")
    return torch.from_numpy(wave).T


@pytest.mark.slow
@pytest.mark.weights
def test_published_weights_separate_a_song() -> None:
    """Reference: the stems of the song, of which demucs' own program gets 16.2 dB of the voice."""
    path = Path(os.environ["STEM_TEST_WEIGHTS"]) / "htdemucs" / "htdemucs.safetensors"
    network = HTDemucs().eval()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    with torch.inference_mode():
        *band, voice = network(read(SONG / "song.flac", network.segment)[None])[0]
    for estimate, stem in ((voice, "vocals"), (sum(band), "instrumental")):
        true = read(SONG / "stems" / f"{stem}.flac", network.segment)
        distortion = (true - estimate).square().sum() / true.square().sum()
        assert -10 * distortion.log10() > 15.5
