"""Synthetic waves, the same on every machine and with every package version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLES = 12_001


def noise(samples: int, start: int) -> NDArray[np.float64]:
    """Noise in [-1, 1] by integer arithmetic only."""
    index = np.arange(start, start + samples, dtype=np.uint64)
    mixed = (index * index * np.uint64(31) + index * np.uint64(17)) * np.uint64(2_654_435_761)
    return (mixed >> np.uint64(16)).astype(np.uint16).astype(np.float64) / 2**15 - 1


def waves(rate: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An estimate and a reference, ``channel time``: two tones in noise, and a noisy copy."""
    time = np.arange(SAMPLES) / rate
    reference = np.stack(
        [
            0.4 * np.sin(2 * np.pi * 110 * (channel + 1) * time)
            + 0.1 * noise(SAMPLES, 1000 * channel)
            for channel in range(2)
        ]
    )
    estimate = 0.8 * reference + 0.02 * np.stack([noise(SAMPLES, 5000), noise(SAMPLES, 9000)])
    return estimate.astype(np.float32), reference.astype(np.float32)
