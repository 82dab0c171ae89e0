"""Bands: which bins of a spectrogram a network reads as one token.

A bank is a matrix of overlapping triangles, one row a band. Only *where* a triangle is positive
matters to the networks; its height is used once, to weigh the sum where bands overlap.

Mel scale: Slaney 1998, Auditory Toolbox; 200/3 Hz per mel below 1 kHz, 27 steps for a factor of
6.4 above it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LINEAR_HZ_PER_MEL = 200 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ_PER_MEL  # 15 mel
MELS_PER_LOG = 27 / math.log(6.4)


def hz_to_mel(hz: float) -> float:
    """Frequency in Hz to Slaney's mel."""
    if hz < BREAK_HZ:
        return hz / LINEAR_HZ_PER_MEL
    return BREAK_MEL + MELS_PER_LOG * math.log(hz / BREAK_HZ)


def mel_to_hz(mel: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Slaney's mel to frequency in Hz."""
    above = BREAK_HZ * torch.exp((mel - BREAK_MEL) / MELS_PER_LOG)
    return torch.where(mel < BREAK_MEL, mel * LINEAR_HZ_PER_MEL, above)


def mel_bank(sample_rate: int, n_fft: int, bands: int) -> Float[Tensor, "band freq"]:
    """Triangles of height 1 (no area normalisation), equally spaced in mel from 0 to Nyquist.

    Neighbours overlap so that between two centres their heights add up to 1. DC is in no band;
    Nyquist is in the last one by a height that is only a rounding residue, put there on purpose
    because the number of bins of a band fixes the shape of a network's tensors.
    """
    top = hz_to_mel(sample_rate / 2)
    edges = mel_to_hz(torch.linspace(0, top, bands + 2, dtype=torch.float64))
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    low, centre, high = (edges[i : i + bands, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    bank = torch.minimum(rising, falling).clamp_min(0)
    bank[:, 0] = 0
    bank[:, -1] = 0
    bank[-1, -1] = torch.finfo(torch.float32).tiny
    return bank.float()


def linear_bank(n_fft: int, bands: int) -> Float[Tensor, "band freq"]:
    """Triangles between equally spaced whole bins from 0 to Nyquist."""
    bins = n_fft // 2 + 1
    edges = torch.linspace(0, bins, bands + 2).long().tolist()
    bank = torch.zeros(bands, bins)
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bank[band, low:centre] = torch.linspace(0, 1, centre - low)
        bank[band, centre:high] = torch.linspace(1, 0, high - centre)
    return bank


def padded_sets(
    members: Bool[Tensor, "band freq"],
) -> tuple[list[list[int]], list[list[float]]]:
    """Bins of every band, padded with bin 0 to the widest band, and 1 where a bin is real."""
    sets = [row.nonzero().flatten().tolist() for row in members]
    widest = max(len(bins) for bins in sets)
    indices = [bins + [0] * (widest - len(bins)) for bins in sets]
    real = [[1.0] * len(bins) + [0.0] * (widest - len(bins)) for bins in sets]
    return indices, real
