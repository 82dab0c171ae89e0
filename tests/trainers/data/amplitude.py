"""Measures the amplitude of a tone."""

from __future__ import annotations

import numpy as np

from tests.trainers.commands import RATE


def amplitude(wave: np.ndarray, hz: float) -> float:
    """Amplitude of one frequency in a mono wave, by correlation over full periods."""
    phasors = np.exp(-2j * np.pi * hz * np.arange(wave.shape[-1]) / RATE)
    return float(2 * np.abs((wave * phasors).mean()))
