"""Classes of the documents that specify the mel-band networks and the discriminators.

Reference: the names, arguments and defaults that ``000_a7faf681e2b395a6.txt`` and
``001_0884cdfec75cb75d.txt`` list, in their order.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model_zoo.architectures.melrnn import MelRNN
from model_zoo.architectures.melroformer import MelRoFormer
from model_zoo.architectures.melunet import MelUNet
from model_zoo.blocks.attention import AttentionRegisterRoFormerBlock, RoFormerBlock
from model_zoo.blocks.convnext import ConvNeXt1DBlock, ConvNeXt2DBlock
from model_zoo.blocks.recurrent import RNNBlock
from model_zoo.blocks.spectral import Band, Fourier
from model_zoo.discriminators.spectral import (
    MultiFrequencyDiscriminator,
    MultiResolutionDiscriminator,
)
from model_zoo.discriminators.waveform import MultiPeriodDiscriminator, MultiScaleDiscriminator
from model_zoo.separator import Separator
from tests.model_zoo.blocks.weights import fill, pattern

NEEDED = inspect.Parameter.empty

MODELS: dict[type[Separator], tuple[str, int]] = {
    MelRoFormer: ("num_heads", 2),
    MelRNN: ("num_groups", 2),
    MelUNet: ("upsampling_factor", 2),
}

ARGUMENTS: dict[type[nn.Module], dict[str, Any]] = {
    MultiPeriodDiscriminator: {
        "nch": 1,
        "sample_rate": 48_000,
        "periods": [2, 3, 5, 7, 11],
        "norm": True,
    },
    MultiScaleDiscriminator: {
        "sample_rate": NEEDED,
        "downsample_rates": [2, 4],
        "nch": 1,
        "norm": True,
    },
    MultiResolutionDiscriminator: {
        "nch": 1,
        "sample_rate": 48_000,
        "window_lengths": [2048, 1024, 512],
        "hop_factor": 0.25,
        "bands": [(0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)],
        "norm": True,
        "hidden_channels": 32,
    },
    MultiFrequencyDiscriminator: {
        "nch": NEEDED,
        "window_sizes": NEEDED,
        "hidden_channels": 8,
        "sample_rate": 48_000,
        "norm": True,
    },
    RoFormerBlock: {"n_embd": NEEDED, "n_head": NEEDED, "max_seq_len": NEEDED, "rope_base": 10000},
    AttentionRegisterRoFormerBlock: {
        "n_embd": NEEDED,
        "n_head": NEEDED,
        "max_seq_len": NEEDED,
        "rope_base": 10000,
        "num_register_tokens": 0,
        "window_size": -1,
    },
    RNNBlock: {
        "n_embd": NEEDED,
        "n_layer": NEEDED,
        "n_groups": NEEDED,
        "rnn_type": "gru",
        "bidirectional": False,
    },
    ConvNeXt1DBlock: {
        "kernel_size": NEEDED,
        "stride": NEEDED,
        "input_dim": NEEDED,
        "output_dim": NEEDED,
        "mode": "normal",
    },
    ConvNeXt2DBlock: {
        "kernel_size": NEEDED,
        "stride": NEEDED,
        "input_dim": NEEDED,
        "output_dim": NEEDED,
        "mode": "normal",
    },
}


def as_lists(value: Any) -> Any:
    """Turn tuples into lists, so that they compare by content."""
    return [as_lists(one) for one in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("kind", ARGUMENTS, ids=lambda kind: kind.__name__)
def test_arguments_and_defaults(kind: type[nn.Module]) -> None:
    parameters = {
        name: as_lists(argument.default)
        for name, argument in inspect.signature(kind).parameters.items()
        if argument.kind is not inspect.Parameter.KEYWORD_ONLY
    }
    assert list(parameters.items()) == [
        (name, as_lists(ARGUMENTS[kind][name])) for name in ARGUMENTS[kind]
    ]


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_a_mono_waveform_gives_a_mono_waveform(kind: type[Separator]) -> None:
    """ "A mono audio tensor being processed of shape [batch, samples]"."""
    option, value = MODELS[kind]
    sizes = {"hidden_channels": 8, "num_layers": 1, option: value}
    network = fill(kind(**sizes, window_size=256, hop_size=64, sample_rate=16_000, num_bands=12))
    assert network(pattern(2, 1000)).shape == (2, 1000)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (MultiPeriodDiscriminator, {"periods": [5]}),
        (MultiScaleDiscriminator, {"sample_rate": 16_000, "downsample_rates": [2]}),
        (MultiResolutionDiscriminator, {"window_lengths": [256], "hidden_channels": 2}),
        (MultiFrequencyDiscriminator, {"nch": 1, "window_sizes": [256], "hidden_channels": 2}),
    ],
)
def test_discriminators_give_scores_and_feature_maps(
    kind: type[nn.Module], arguments: dict[str, Any]
) -> None:
    discriminator = kind(**arguments)
    scores, features = discriminator(pattern(2, 1, 4000))
    assert all(score.shape[:2] == (2, 1) for score in scores)
    assert len(features) == len(scores)
    assert all(one.shape[0] == 2 for maps in features for one in maps)


def sequences(block: nn.Module) -> Tensor:
    return fill(block)(pattern(2, 9, 8))


def test_blocks_keep_or_change_shapes_as_documented() -> None:
    assert sequences(RoFormerBlock(8, 2, 16)).shape == (2, 9, 8)
    registers = AttentionRegisterRoFormerBlock(8, 2, 16, num_register_tokens=3, window_size=4)
    assert sequences(registers).shape == (2, 9, 8)
    assert sequences(RNNBlock(8, 1, 2, "lstm", True)).shape == (2, 9, 8)
    assert fill(ConvNeXt1DBlock(7, 2, 8, 4))(pattern(2, 8, 9)).shape == (2, 4, 5)
    assert fill(ConvNeXt2DBlock((7, 7), (2, 2), 8, 4))(pattern(2, 8, 9, 6)).shape == (2, 4, 5, 3)
    up = ConvNeXt2DBlock(7, 2, 8, 4, "transposed")
    assert fill(up)(pattern(2, 8, 5, 3), (9, 6)).shape == (2, 4, 9, 6)


def test_fourier_and_band_split_and_merge() -> None:
    fourier, wave = Fourier(256, 64), pattern(2, 1000)
    spectrum = fourier.stft(wave)
    torch.testing.assert_close(fourier.istft(spectrum, 1000), wave, atol=1e-5, rtol=1e-4)
    band = fill(Band(16_000, 256, 12, 2, 8, "mel"))
    parts = band.split(spectrum)
    assert parts.shape == (2, 8, spectrum.shape[2], 12)
    assert band.unsplit(parts).shape == spectrum.shape
