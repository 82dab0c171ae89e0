"""The short-time Fourier transform, against its inverse and its definition as a dense sum."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model_zoo.blocks.spectral import Fourier
from model_zoo.ops.spectra import istft, stft


def noise(samples: int, rows: int = 1) -> Tensor:
    """Deterministic noise in [-1, 1]."""
    index = torch.arange(rows * samples, dtype=torch.float64).reshape(rows, samples)
    return torch.sin(index**2 * 0.7 + index * 1.3)


@settings(deadline=None, max_examples=40)
@given(
    n_fft=st.sampled_from([64, 128, 200]),
    divisor=st.sampled_from([2, 3, 4, 5]),
    samples=st.integers(200, 1500),
)
def test_the_inverse_restores_the_signal(n_fft: int, divisor: int, samples: int) -> None:
    wave, window, hop = noise(samples, 2), torch.hann_window(n_fft).double(), n_fft // divisor
    spectrum = stft(wave, window, hop)
    assert spectrum.shape == (2, n_fft // 2 + 1, 1 + samples // hop)
    torch.testing.assert_close(istft(spectrum, window, hop, samples), wave, atol=1e-9, rtol=0)


def test_a_frame_matches_its_definition() -> None:
    n_fft, hop, wave = 32, 8, noise(160)[0]
    window = torch.hann_window(n_fft).double()
    spectrum = stft(wave, window, hop)
    for frame in (3, 10):
        start = frame * hop - n_fft // 2
        for freq in (0, 5, n_fft // 2):
            phases = torch.arange(n_fft, dtype=torch.float64) * (-2 * math.pi * freq / n_fft)
            expected = (wave[start : start + n_fft] * window * torch.exp(1j * phases)).sum()
            torch.testing.assert_close(spectrum[freq, frame], expected)


@settings(deadline=None, max_examples=10)
@given(samples=st.integers(512, 2000))
def test_the_module_inverts_its_own_spectrum(samples: int) -> None:
    fourier, wave = Fourier(512, 128), noise(samples, 3).float()
    parts = fourier.stft(wave)
    assert parts.shape == (3, 257, 1 + samples // 128, 2)
    torch.testing.assert_close(fourier.istft(parts, samples), wave, atol=1e-5, rtol=0)


def test_defaults_of_the_original() -> None:
    fourier = Fourier()
    assert fourier.window.shape == (2048,)
    assert fourier.hop_length == 441
