"""Spectrograms with a logarithmic frequency axis, of waves of any length in bounded memory.

A row shows the energy that falls into it, so that a tone is as bright in one octave as in another.
The rows and their weights are those of every spectrogram in this project.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view

LOWEST_HZ = 30.0
ROWS = 256
WINDOW_SECONDS = 0.09

COLUMNS = 2048
"""Most columns of a :class:`Spectrogram`; even, because columns are merged in pairs."""

OVERLAP = 4
"""Windows that cover a sample."""

FRAMES = 32
"""Windows that are transformed at a time, which bounds the memory for long blocks."""

SILENCE = 1e-20
"""Power that is added before the logarithm: -200 dB."""

FULL_SCALE = 4.0
"""Factor from the power of a window to that of a sine at full scale, whose bin has 1/4."""


def frequencies(sample_rate: int) -> Float[np.ndarray, " row"]:
    """Frequency of every row in Hz, from the lowest to half of ``sample_rate``."""
    return np.geomspace(min(LOWEST_HZ, sample_rate / 16), sample_rate / 2, ROWS)


def window_length(sample_rate: int) -> int:
    """Samples of an analysis window, a power of 2."""
    return 2 ** max(4, round(math.log2(WINDOW_SECONDS * sample_rate)))


def row_weights(sample_rate: int, n_fft: int) -> Float[np.ndarray, "row freq"]:
    """How much every bin adds to every row: triangles around the frequencies of the rows.

    A triangle reaches to the neighbouring rows, and at least to the neighbouring bins: where rows
    are closer together than bins, they are interpolated.
    """
    centres = frequencies(sample_rate)[:, None]
    bin_width = sample_rate / n_fft
    bins = np.arange(n_fft // 2 + 1) * bin_width
    ratio = centres[1, 0] / centres[0, 0]
    below = np.maximum(centres - centres / ratio, bin_width)
    above = np.maximum(centres * ratio - centres, bin_width)
    reach = np.where(bins < centres, below, above)
    return (1 - np.abs(bins - centres) / reach).clip(0)


class _SparseWeights(NamedTuple):
    """The weights of all rows one after the other, without zeros.

    Attributes:
        bins: the bin of each weight.
        weights: each weight.
        starts: index of the first weight of each row; no row is empty.
    """

    bins: Int[np.ndarray, " weight"]
    weights: Float[np.ndarray, " weight"]
    starts: Int[np.ndarray, " row"]


@lru_cache(maxsize=4)
def _sparse_weights(sample_rate: int) -> _SparseWeights:
    dense = row_weights(sample_rate, window_length(sample_rate))
    rows, bins = np.nonzero(dense)
    starts = np.searchsorted(rows, np.arange(ROWS))
    return _SparseWeights(bins, dense[rows, bins].astype(np.float32), starts)


class Spectrogram:
    """Measures a wave block by block; memory does not grow with its length.

    When all columns are in use, neighbours are averaged in pairs, and each later column covers
    twice as many windows. Waves of one length and sample rate therefore have the same columns.

    Args:
        sample_rate: in Hz.
        channels: of the blocks; their powers are averaged.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        n_fft = window_length(sample_rate)
        self._rate, self._hop = sample_rate, n_fft // OVERLAP
        self._window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
        # The first window is centred at the first sample.
        self._samples = np.zeros((n_fft // 2, channels), np.float32)
        self._columns = np.zeros((COLUMNS, ROWS), np.float32)
        self._filled = 0
        self._width = 1  # windows of a column
        self._sum = np.zeros(ROWS, np.float32)
        self._summed = 0  # windows in the sum

    def push(self, block: Float[np.ndarray, "time channel"]) -> None:
        """Take the next samples, which must be finite."""
        samples = np.concatenate([self._samples, block])
        count = max(0, (len(samples) - len(self._window)) // self._hop + 1)
        for first in range(0, count, FRAMES):
            self._add(samples, first, min(FRAMES, count - first))
        self._samples = samples[count * self._hop :].copy()

    def finish(self) -> None:
        """Measure the last samples; call once, after the last block."""
        # Half a step more, so that the last column ends after the last sample.
        rest = len(self._window) // 2 + self._hop // 2
        self.push(np.zeros((rest, self._samples.shape[1]), np.float32))
        if self._summed:
            self._close_column()

    def levels(self) -> Float[np.ndarray, "row column"]:
        """Levels in dB, the lowest frequency in the last row; a sine at full scale has 0 to 2."""
        power = self._columns[: self._filled].T[::-1].astype(np.float64)
        return 10 * np.log10(power + SILENCE)

    @property
    def column_seconds(self) -> float:
        """Time that a column covers."""
        return self._width * self._hop / self._rate

    @property
    def first_seconds(self) -> float:
        """Time at the left edge of the first column, which is just before the first sample."""
        return -self._hop / self._rate / 2

    @property
    def span_seconds(self) -> tuple[float, float]:
        """Time at the left edge of the first column and at the right edge of the last."""
        return self.first_seconds, self.first_seconds + self._filled * self.column_seconds

    def _add(self, samples: Float[np.ndarray, "time channel"], first: int, count: int) -> None:
        """Measure ``count`` windows from number ``first`` on."""
        n_fft = len(self._window)
        part = samples[first * self._hop :][: (count - 1) * self._hop + n_fft]
        for row in self._rows(part):
            self._sum += row
            self._summed += 1
            if self._summed == self._width:
                self._close_column()

    def _rows(self, samples: Float[np.ndarray, "time channel"]) -> Float[np.ndarray, "frame row"]:
        n_fft, channels = len(self._window), samples.shape[1]
        frames = sliding_window_view(samples, n_fft, axis=0)[:: self._hop]
        power = np.zeros((len(frames), n_fft // 2 + 1), np.float32)
        for channel in range(channels):  # one at a time needs less memory
            spectrum = np.fft.rfft(frames[:, channel] * self._window)
            power += spectrum.real**2 + spectrum.imag**2
        scale = np.float32(FULL_SCALE / channels / self._window.sum() ** 2)
        sparse = _sparse_weights(self._rate)
        return np.add.reduceat(power[:, sparse.bins] * sparse.weights, sparse.starts, 1) * scale

    def _close_column(self) -> None:
        self._columns[self._filled] = self._sum / self._summed
        self._filled += 1
        self._sum[:] = 0
        self._summed = 0
        if self._filled == COLUMNS:
            half = COLUMNS // 2
            self._columns[:half] = self._columns.reshape(half, 2, ROWS).mean(axis=1)
            self._filled, self._width = half, 2 * self._width
