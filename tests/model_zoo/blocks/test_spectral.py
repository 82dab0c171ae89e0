"""Filter banks. Reference: Slaney's formula in numpy, and tables of the original code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_zoo.blocks.spectral import hz_to_mel, linear_bank, mel_bank, mel_to_hz, padded_sets

# Bins per band of the original code at 48 kHz, window 2048, 64 bands.
WIDTHS_48K = [
    *[5, 6, 5, 5, 6, 5, 5, 6, 5, 5, 6, 5, 5, 6, 5, 5, 6, 7, 7, 7, 8, 8, 8, 9, 10, 11, 12, 12, 13],
    *[14, 14, 15, 17, 18, 19, 21, 22, 23, 24, 26, 28, 30, 32, 34, 37, 39, 41, 44, 47, 50, 54, 57],
    *[61, 65, 69, 74, 79, 85, 90, 96, 103, 109, 116, 125],
]  # fmt: skip
# First and last bin of some of the public checkpoints' 60 bands at 44.1 kHz, window 2048.
SIXTY_BANDS = {0: (0, 6), 1: (4, 9), 20: (65, 73), 30: (126, 144), 45: (348, 397), 58: (836, 957)}


def reference_bank(sample_rate: int, n_fft: int, bands: int) -> np.ndarray:
    """Triangles between equally spaced mel frequencies, by definition."""
    break_mel, top = 15.0, sample_rate / 2
    top_mel = break_mel + 27 * np.log(top / 1000) / np.log(6.4)
    mel = np.linspace(0, top_mel, bands + 2)
    edges = np.where(mel < break_mel, mel * 200 / 3, 1000 * 6.4 ** ((mel - break_mel) / 27))
    freq = np.linspace(0, top, n_fft // 2 + 1)
    rows = [np.interp(freq, edges[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(bands)]
    return np.array(rows)


@pytest.mark.parametrize("sample_rate", [22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize(("n_fft", "bands"), [(2048, 60), (2048, 64), (4096, 64)])
def test_the_mel_bank_follows_slaney(sample_rate: int, n_fft: int, bands: int) -> None:
    bank = mel_bank(sample_rate, n_fft, bands).double().numpy()
    reference = reference_bank(sample_rate, n_fft, bands)
    np.testing.assert_allclose(bank, reference, atol=1e-6)
    inner = slice(0, -1)
    np.testing.assert_array_equal(bank[:, inner] > 1e-9, reference[:, inner] > 1e-9)


def test_widths_at_48_khz() -> None:
    assert (mel_bank(48_000, 2048, 64) > 0).sum(1).tolist() == WIDTHS_48K
    assert (mel_bank(44_100, 2048, 64) > 0).sum(1).max() == 123


def test_first_and_last_bins_at_44_khz() -> None:
    bank = mel_bank(44_100, 2048, 60)
    for band, (first, last) in SIXTY_BANDS.items():
        bins = bank[band].nonzero().flatten()
        # The public layout includes DC; the first band here starts above it.
        assert (int(bins[0]), int(bins[-1])) == (max(first, 1), last)


def test_bands_per_bin_at_48_khz() -> None:
    covered = (mel_bank(48_000, 2048, 64) > 0).sum(0)
    assert covered[0] == 0
    assert (covered == 2).sum() == 957
    assert (covered == 1).sum() == 67
    assert covered[-1] == 1


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 48_000])
def test_nyquist_is_in_the_last_band_only(sample_rate: int) -> None:
    assert (mel_bank(sample_rate, 1024, 32)[:, -1] > 0).nonzero().flatten().tolist() == [31]


def test_hz_to_mel_and_back() -> None:
    # 1 kHz is 15 mel, 6.4 kHz is 27 steps further, 500 Hz is half of the linear part.
    assert hz_to_mel(1000.0) == pytest.approx(15)
    assert hz_to_mel(6400.0) == pytest.approx(42)
    assert hz_to_mel(500.0) == pytest.approx(7.5)
    hz = torch.tensor([20.0, 999.0, 1000.0, 1001.0, 15_000.0], dtype=torch.float64)
    mel = torch.tensor([hz_to_mel(float(value)) for value in hz], dtype=torch.float64)
    torch.testing.assert_close(mel_to_hz(mel), hz)


def test_linear_bank_by_hand() -> None:
    # 9 bins and 2 bands: edges at bins 0, 3, 6, 9.
    half = 0.5
    expected = [
        [0, half, 1, 1, half, 0, 0, 0, 0],
        [0, 0, 0, 0, half, 1, 1, half, 0],
    ]
    torch.testing.assert_close(linear_bank(16, 2), torch.tensor(expected))


def test_padding_fills_with_bin_zero() -> None:
    members = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 1]]).bool()
    assert padded_sets(members) == ([[1, 2], [3, 0]], [[1.0, 1.0], [1.0, 0.0]])
