"""Downward expansion: what is almost nothing becomes nothing."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems, Wave

FAINTEST = 1e-12
"""Mean square below which a mixture is silence; the quietest sound of 24 bits has 1e-14."""

SHARPNESS = 2
"""Exponent of the curve: 1 dB below the threshold costs up to 2 x 2 dB."""


def expand(stems: Stems, mixture: Wave, threshold_db: float) -> Stems:
    """Turn down each stem that holds little of the energy of the mixture.

    With ``r`` the energy of a stem over that of the mixture, and ``t`` the threshold, the stem is
    multiplied by ``r^2 / (r^2 + t^2)``: well above the threshold nothing changes, at the threshold
    6 dB are lost, and what a network takes for a faint voice in a song without one fades out. One
    gain holds for all channels and the whole length, so nothing is modulated within a segment.

    Args:
        stems: estimates.
        mixture: what they were taken from.
        threshold_db: level of a stem against the mixture, below 0.
    """
    threshold = 10 ** (threshold_db / 10)
    share = _energy(stems) / _energy(mixture).clamp_min(FAINTEST)[:, None]
    steep = (share / threshold) ** SHARPNESS
    return stems * (steep / (1 + steep))[..., None, None]


def _energy(wave: Float[Tensor, "*item channel time"]) -> Float[Tensor, "*item"]:
    return wave.square().mean((-2, -1))
