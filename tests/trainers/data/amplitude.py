"""What is to be heard in a wave."""

from __future__ import annotations

import numpy as np

from tests.trainers.commands import RATE


def amplitude(wave: np.ndarray, hz: float) -> float:
    """Of one frequency in a mono wave, by correlation over whole periods."""
    turns = np.exp(-2j * np.pi * hz * np.arange(wave.shape[-1]) / RATE)
    return float(2 * np.abs((wave * turns).mean()))
