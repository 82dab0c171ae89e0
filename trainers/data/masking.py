"""Bands and moments that are taken out of a sound, with soft edges."""

from __future__ import annotations

import numpy as np

from trainers.data.effects import shape
from trainers.data.recording import Clip

EDGE_OCTAVES = 1 / 12
"""Over so much a band fades, on both sides outside of it: sharper edges ring longer."""

EDGE_SECONDS = 0.005
"""Over so much a moment fades, on both sides outside of it, so that no click is heard."""

GONE = 1e-6
"""Amplitude inside a band: -120 dB."""


def without_band(clip: Clip, rate: int, low: float, high: float) -> Clip:
    """Remove what sounds from ``low`` to ``high`` Hz; the phase of the rest stays."""

    def curve(hz: np.ndarray) -> np.ndarray:
        octaves = np.log2(np.maximum(hz, 1))
        outside = np.maximum(np.log2(low) - octaves, octaves - np.log2(high))
        return 20 * np.log10(np.maximum(_kept(outside / EDGE_OCTAVES), GONE))

    return shape(clip, rate, curve)


def without_moment(clip: Clip, rate: int, start: int, count: int) -> Clip:
    """Silence ``count`` samples from ``start`` on."""
    edge = round(EDGE_SECONDS * rate)
    changed = slice(max(0, start - edge), start + count + edge)
    out = clip.copy()
    time = np.arange(clip.shape[1])[changed]
    outside = np.maximum(start - time, time - (start + count - 1))
    out[:, changed] *= _kept(outside / (edge + 1)).astype(np.float32)
    return out


def _kept(distance: np.ndarray) -> np.ndarray:
    """Half a period of a cosine from 0 at distance 0 to 1 at distance 1."""
    return 0.5 - 0.5 * np.cos(np.pi * distance.clip(0, 1))
