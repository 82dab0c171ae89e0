"""Helpers that decode complete files and compare waves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemcli.audio.reader import open_audio


def decode(path: Path, **part: float) -> NDArray[np.float32]:
    """All samples of a file, or those from ``start`` to ``end``."""
    with open_audio(path, **part, block=10000) as reader:
        return np.concatenate(list(reader))


def snr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Signal-to-noise ratio in dB."""
    noise = float(np.sum((reference - estimate) ** 2, dtype=np.float64))
    return 10 * float(np.log10(np.sum(reference**2, dtype=np.float64) / max(noise, 1e-20)))
