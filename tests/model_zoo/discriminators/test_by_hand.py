"""Which inputs discriminators see, worked by hand.

Every kernel passes on the first channel of its input through its middle tap. So each score is one
sample or spectrum bin, given by strides and bands, and is known without running a network.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from model_zoo.discriminators.base import SLOPE, Discriminator
from model_zoo.discriminators.spectral import (
    MultiFrequencyDiscriminator,
    MultiResolutionDiscriminator,
)
from model_zoo.discriminators.waveform import MultiPeriodDiscriminator, MultiScaleDiscriminator

WINDOW = 256
BIN = 8


@torch.no_grad()
def pass_through(discriminator: Discriminator) -> Discriminator:
    """Set every kernel to pass on the first channel."""
    for part in discriminator.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d)):
            part.weight.zero_()
            part.bias.zero_()
            middle = [size // 2 for size in part.kernel_size]
            part.weight[(0, 0, *middle)] = 1.0
    return discriminator


def ramp(length: int) -> Tensor:
    """Sample ``n`` is ``n + 1``: positive, so that no rectifier changes it."""
    return torch.arange(1.0, length + 1)[None, None]


@pytest.mark.parametrize("period", [2, 3, 7])
def test_periods_take_every_243rd_row(period: int) -> None:
    """Five strides of 3: row i, column j of the score is sample 243 i period + j."""
    discriminator = pass_through(MultiPeriodDiscriminator(periods=[period], norm=False))
    (score,), _ = discriminator(ramp(1000 * period))
    rows = torch.arange(score.shape[2])[:, None] * 243 * period
    assert score[0, 0].equal((rows + torch.arange(period) + 1).float())


def test_negative_values_are_rectified_in_all_layers_but_the_last() -> None:
    discriminator = pass_through(MultiPeriodDiscriminator(periods=[2], norm=False))
    (score,), _ = discriminator(-ramp(2000))
    assert score[0, 0, 1, 0].item() == pytest.approx(-(243 * 2 + 1) * SLOPE**5, rel=1e-5)


@pytest.mark.parametrize("rate", [2, 4])
def test_scales_take_every_256th_interpolated_sample(rate: int) -> None:
    """Linear interpolation at the middle of ``rate`` samples; four strides of 4."""
    discriminator = pass_through(MultiScaleDiscriminator(8000, downsample_rates=[rate], norm=False))
    (score,), _ = discriminator(ramp(256 * rate * 5))
    middles = torch.arange(score.shape[2]) * 256 * rate + (rate + 1) / 2
    torch.testing.assert_close(score[0, 0], middles)


def tone() -> Tensor:
    """A cosine whose spectrum is ``WINDOW / 4`` at :data:`BIN`, in every frame."""
    time = torch.arange(16 * WINDOW, dtype=torch.float64)
    return torch.cos(2 * math.pi * BIN * time / WINDOW).float()[None, None]


def inner(score: Tensor) -> Tensor:
    """Frames unaffected by the ends of the wave, ``frame freq``."""
    return score[0, 0, 4:-4]


def test_resolutions_take_every_eighth_bin_of_each_band() -> None:
    """Bands of 129 bins: 0 to 31, 32 to 128; the first contributes the bins 0, 8, 16 and 24.

    With a Hann window, a cosine of amplitude 1 has the magnitude of a quarter of the window.
    """
    bands = ((0.0, 0.25), (0.25, 1.0))
    discriminator = pass_through(
        MultiResolutionDiscriminator(window_lengths=[WINDOW], bands=bands, norm=False)
    )
    (score,), features = discriminator(tone())
    assert [layer.shape[-1] for layer in features[0]] == [32, 16, 8, 4, 4, 97, 49, 25, 13, 13]
    expected = torch.zeros(4 + 13)
    expected[1] = WINDOW / 4
    frames = inner(score)
    torch.testing.assert_close(frames, expected.expand_as(frames), atol=0.01, rtol=0)


@pytest.mark.parametrize("gain", [0.1, 1.0])
def test_frequencies_have_unit_energy_and_every_eighth_bin(gain: float) -> None:
    """The energy of the cosine is half its length; at 24 of 48 kHz, 64 of 129 bins remain."""
    discriminator = pass_through(
        MultiFrequencyDiscriminator(1, [WINDOW], sample_rate=24_000, norm=False)
    )
    wave = tone()
    (score,), _ = discriminator(gain * wave)
    expected = torch.zeros(8)
    expected[1] = WINDOW / 4 / math.sqrt(wave.shape[-1] / 2)
    frames = inner(score)
    torch.testing.assert_close(frames, expected.expand_as(frames), atol=1e-4, rtol=0)
