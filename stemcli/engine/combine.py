"""Combines the estimates of several networks: mean, median, smallest or largest.

Estimates are ``(member, frames, stem, channel)``. The names of other programs for the same:
``avg_wave``, ``median_wave``, ``min_wave`` and ``max_wave``, and with ``_fft`` for spectra.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import reduce
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from model_zoo.grids import Combination
from stemcli.engine.overlap_add import Block, SlidingBuffer

COMBINATIONS: tuple[Combination, ...] = get_args(Combination)
SPECTRAL = "-spectrum"
"""End of the name of a combination of spectra."""

N_FFT = 2048
HOP = N_FFT // 2


def combine(values: NDArray[Any], how: str, weights: NDArray[np.float32]) -> NDArray[Any]:
    """Combine the members of one stem.

    Args:
        values: samples or bins, ``(member, ...)``.
        how: ``mean`` is weighted; ``median`` is that of real and imaginary parts; ``min`` and
            ``max`` take the value of the member with the smallest or largest magnitude.
        weights: of each member; those with 0 do not take part. If none does, the stem is silent.
    """
    taking_part = np.flatnonzero(weights)
    if not len(taking_part):
        return np.zeros_like(values[0])
    values, weights = values[taking_part], weights[taking_part]
    if how == "mean":
        # Not tensordot, whose rounding depends on the number of frames.
        parts = (weight * value for weight, value in zip(weights, values, strict=True))
        return reduce(np.add, parts) / weights.sum()
    if how == "median":
        if np.iscomplexobj(values):
            return np.median(values.real, axis=0) + 1j * np.median(values.imag, axis=0)
        return np.median(values, axis=0)
    magnitudes = np.abs(values)
    chosen = magnitudes.argmin(axis=0) if how == "min" else magnitudes.argmax(axis=0)
    return np.take_along_axis(values, chosen[None], axis=0)[0]


class Combiner(ABC):
    """Combines estimates block by block.

    Args:
        weights: ``(member, stem)``; each stem has a member with a weight.
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self._weights = weights

    @abstractmethod
    def push(self, estimates: NDArray[np.float32]) -> Block:
        """Take the next frames ``(member, frames, stem, channel)`` and return those that are final.

        Returns:
            ``(frames, stem, channel)``.
        """

    @abstractmethod
    def finish(self) -> Block:
        """Return the remaining frames; in total as many as were pushed."""


class WaveCombiner(Combiner):
    """Combines sample by sample.

    Args:
        how: of :func:`combine`.
        weights: ``(member, stem)``.
        channels: of the song.
    """

    def __init__(self, how: str, weights: NDArray[np.float32], channels: int) -> None:
        super().__init__(weights)
        self._how = how
        self._channels = channels

    def push(self, estimates: NDArray[np.float32]) -> Block:
        """Combine the next frames, all of which are final."""
        stems = [
            combine(estimates[:, :, stem], self._how, weights)
            for stem, weights in enumerate(self._weights.T)
        ]
        return np.stack(stems, axis=1).astype(np.float32)

    def finish(self) -> Block:
        """Return no frames, because none were kept."""
        return np.zeros((0, self._weights.shape[1], self._channels), np.float32)


class SpectralCombiner(Combiner):
    """Combines bin by bin in spectrograms: Hann windows of 2048 samples, half overlapping.

    The first window is centered on the first sample, and before it is silence. The inverse divides
    by the sum of squared windows (Griffin & Lim, 1984).

    Args:
        how: of :func:`combine`.
        weights: ``(member, stem)``.
        channels: of the song.
    """

    def __init__(self, how: str, weights: NDArray[np.float32], channels: int) -> None:
        super().__init__(weights)
        members, stems = weights.shape
        self._how = how
        self._window = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
        self._received = 0
        self._waves = SlidingBuffer(members, stems, channels)
        self._waves.append(np.zeros((HOP, members, stems, channels), np.float32))
        self._sum = SlidingBuffer(stems, channels)
        self._weight = SlidingBuffer()

    def push(self, estimates: NDArray[np.float32]) -> Block:
        """Combine all windows that are complete."""
        self._received += estimates.shape[1]
        self._waves.append(estimates.swapaxes(0, 1))
        while len(self._waves) >= N_FFT:
            self._add_window()
        return self._take(self._waves.start - HOP)

    def finish(self) -> Block:
        """Combine the windows that reach beyond the end, with silence there."""
        end = self._received
        while self._waves.start - HOP < end:
            self._waves.extend(self._waves.start + N_FFT)
            self._add_window()
        return self._take(end)

    def _add_window(self) -> None:
        first = self._waves.start - HOP
        waves = self._waves.at(np.arange(N_FFT) + self._waves.start)
        spectra = np.fft.rfft(waves * self._window[:, None, None, None], axis=0)
        stems = [
            combine(spectra[:, :, stem].swapaxes(0, 1), self._how, weights)
            for stem, weights in enumerate(self._weights.T)
        ]
        combined = np.fft.irfft(np.stack(stems, axis=1), N_FFT, axis=0)
        weighted = (combined * self._window[:, None, None]).astype(np.float32)
        self._sum.add(first, weighted)
        self._weight.add(first, self._window**2)
        self._waves.take(HOP)

    def _take(self, final: int) -> Block:
        frames = max(0, min(final, self._received) - self._sum.start)
        return self._sum.take(frames) / self._weight.take(frames)[:, None, None]


def combiner(how: Combination, weights: NDArray[np.float32], channels: int) -> Combiner:
    """The combiner of a name.

    Args:
        how: name of the combination.
        weights: ``(member, stem)``.
        channels: of the song.
    """
    name, is_spectral = how.removesuffix(SPECTRAL), how.endswith(SPECTRAL)
    if is_spectral and len(weights) > 1:
        return SpectralCombiner(name, weights, channels)
    return WaveCombiner(name, weights, channels)
