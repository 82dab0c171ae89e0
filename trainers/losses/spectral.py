"""Distances between spectrograms."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems
from model_zoo.ops.stft import stft

RESOLUTIONS = (4096, 2048, 1024, 512)
"""Window lengths in samples; the hop is a quarter of each."""


def multi_resolution_stft(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """L1 distance of complex spectra, averaged over several window lengths.

    Spectra are scaled by the root of the window's energy, so that every resolution weighs as much
    as the waveform does (Parseval). Spectra are compared as complex numbers and not by their
    magnitudes, so that phase counts. Waves must be longer than half of the longest window.
    """
    error = (estimate - reference).flatten(0, -2)
    distances = [_mean_magnitude(error, n_fft) for n_fft in RESOLUTIONS]
    return torch.stack(distances).mean()


def _mean_magnitude(error: Float[Tensor, "batch time"], n_fft: int) -> Float[Tensor, ""]:
    """Mean magnitude of the error's spectrum: by linearity the distance of two spectra."""
    window = torch.hann_window(n_fft, device=error.device)
    spectrum = stft(error, window, n_fft // 4)
    power = torch.view_as_real(spectrum).square().sum(-1)
    return (power + 1e-12).sqrt().mean() / window.square().sum().sqrt()
