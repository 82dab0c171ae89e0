"""Tones, and their spectrograms."""

from __future__ import annotations

import numpy as np

from stemcli.spectrogram import Spectrogram

RATE = 8000


def tone(hz: float, seconds: float = 1.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A sine at full scale in every channel, ``(frames, channels)``."""
    wave = np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def measured(wave: np.ndarray, rate: int = RATE, block: int = 65536) -> Spectrogram:
    """The spectrogram of a wave, measured in blocks."""
    spectrogram = Spectrogram(rate, wave.shape[1])
    for start in range(0, len(wave), block):
        spectrogram.push(wave[start : start + block])
    spectrogram.finish()
    return spectrogram
