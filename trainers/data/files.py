"""Whole recordings from disk, for what is short enough to be held in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from stemcli.audio.reader import open_audio


def read_wave(path: Path) -> tuple[Float[np.ndarray, "channel time"], int]:
    """Samples of a recording in float32, and its sample rate in Hz.

    Raises:
        DecodeError: the file cannot be read.
    """
    with open_audio(path) as reader:
        return np.concatenate(list(reader)).T, reader.info.sample_rate
