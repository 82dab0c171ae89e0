"""Splitting into bands and merging. Reference: sums over single bins; identity weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model_zoo.blocks.spectral import Band
from tests.model_zoo.blocks.weights import fill, pattern


def members(band: Band, row: int) -> list[int]:
    """The bins of one band, in order."""
    return (band.filterbanks[row] > 0).nonzero().flatten().tolist()


@pytest.fixture(params=["mel", "linear"])
def band(request: pytest.FixtureRequest) -> Band:
    return fill(Band(16_000, 128, 10, 2, 6, request.param))


def test_split_gathers_the_bins_of_each_band(band: Band) -> None:
    x = pattern(2, 65, 3, 2)
    tokens = band.split(x)
    assert tokens.shape == (2, 6, 3, 10)
    for row in range(10):
        expected = band.pre_bandnet.bias[row].expand(2, 3, 6)
        for position, freq in enumerate(members(band, row)):
            weight = band.pre_bandnet.weight[row, 2 * position : 2 * position + 2]
            expected = expected + x[:, freq] @ weight
        torch.testing.assert_close(tokens[..., row].permute(0, 2, 1), expected)


def test_merge_adds_where_bands_overlap_and_divides_by_their_heights(band: Band) -> None:
    tokens = pattern(2, 6, 3, 10)
    expected = torch.zeros(2, 65, 3, 2)
    for row in range(10):
        numbers = tokens[..., row].permute(0, 2, 1) @ band.post_bandnet.weight[row]
        numbers = numbers + band.post_bandnet.bias[row]
        for position, freq in enumerate(members(band, row)):
            expected[:, freq] += numbers[..., 2 * position : 2 * position + 2]
    heights = band.filterbanks.sum(0)
    expected /= torch.where(heights < 1e-8, 1.0, heights)[:, None, None]
    torch.testing.assert_close(band.unsplit(tokens), expected, atol=1e-5, rtol=1e-4)


@settings(deadline=None, max_examples=20)
@given(
    bands=st.integers(2, 20),
    n_fft=st.sampled_from([64, 128, 512]),
    scale=st.sampled_from(["mel", "linear"]),
    norm=st.sampled_from(["ola", "count"]),
)
def test_identity_weights_return_the_spectrum(
    bands: int, n_fft: int, scale: str, norm: str
) -> None:
    band, x = identity_band(bands, n_fft, scale, norm), pattern(1, n_fft // 2 + 1, 2, 2)
    times = (band.filterbanks > 0).sum(0)
    gain = times / (band.ola_window if norm == "ola" else times.clamp_min(1))
    torch.testing.assert_close(band.unsplit(band.split(x)), x * gain[:, None, None])


def identity_band(bands: int, n_fft: int, scale: str, norm: str) -> Band:
    """A band layer whose tokens are the bins of the band."""
    width = 2 * (Band(16_000, n_fft, bands, 2, 1, scale).f_idxes.numel() // bands)
    band = Band(16_000, n_fft, bands, 2, width, scale, overlap_norm=norm)
    with torch.no_grad():
        for layer in (band.pre_bandnet, band.post_bandnet):
            layer.weight.copy_(torch.eye(width))
    return band


def test_dc_is_always_zero(band: Band) -> None:
    assert not band.unsplit(pattern(1, 6, 4, 10))[:, 0].any()


def test_divisors_at_the_edges_at_48_khz() -> None:
    band = Band(48_000, 2048, 64, 2, 4)
    assert band.ola_window[1] == pytest.approx(0.373, abs=5e-4)
    assert band.ola_window[1023] == pytest.approx(0.0156, abs=5e-5)
    # 32 at the top, one at the bottom, and DC and Nyquist, which are not divided.
    assert (band.filterbanks.sum(0) < 0.5).sum() == 35
    assert band.ola_window[0] == band.ola_window[1024] == 1
    # Between the centers of two bands their heights add up to one.
    torch.testing.assert_close(band.ola_window[10:900], torch.ones(890))


def test_merging_to_more_channels() -> None:
    band = Band(16_000, 128, 10, 2, 6, merge_channels=8)
    assert band.unsplit(pattern(2, 6, 3, 10)).shape == (2, 65, 3, 8)


def test_gradient_of_padding_is_zero() -> None:
    band = fill(Band(16_000, 128, 10, 2, 6))
    band.unsplit(band.split(pattern(1, 65, 3, 2))).sum().backward()
    padding: Tensor = band.mask.reshape(10, -1).repeat_interleave(2, dim=1) == 0
    assert padding.any()
    assert not band.pre_bandnet.weight.grad[padding].any()
    assert not band.post_bandnet.bias.grad[padding].any()
