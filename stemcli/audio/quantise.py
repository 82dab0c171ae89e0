"""From floating point to whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_integers(block: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Round to the nearest of ``2 ** bits`` steps over [-1, 1); beyond it, clip.

    The exact inverse of reading: a sample that is a whole number of steps stays what it was.
    libsndfile's own conversion multiplies by one step less and rounds down.
    """
    full = float(2 ** (bits - 1))
    scaled = np.rint(block * np.float32(full))
    return np.clip(scaled, -full, full - 1).astype(np.int32)
