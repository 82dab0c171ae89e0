"""Downward expansion: what is almost nothing becomes nothing."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems, Wave

FAINTEST = 1e-20
"""Mean square below which a mixture is silence; the quietest sound of 24 bits has 1e-14."""

SHARPNESS = 2
"""Exponent of the curve: each dB that a stem lies further below the threshold costs 4 more."""


def expand(stems: Stems, mixture: Wave, threshold_db: float) -> Stems:
    """Turn down each stem that holds little of the energy of the mixture.

    With ``r`` the energy of a stem over that of the mixture, and ``t`` the threshold, the stem is
    multiplied by ``1 / (1 + (t / r)^2)``: well above the threshold nothing changes, at it 6 dB are
    lost, and what a network takes for a faint voice in a song without one fades out. One gain holds
    for the whole length, so nothing is modulated within a segment, and for all channels that the
    network hears at once.

    Args:
        stems: estimates.
        mixture: what they were taken from.
        threshold_db: level of a stem against the mixture, below 0 and above -100.
    """
    threshold = 10 ** (threshold_db / 10)
    share = _energy(stems) / _energy(mixture).clamp_min(FAINTEST)[:, None]
    gain = 1 / (1 + (threshold / share) ** SHARPNESS)
    return stems * gain[..., None, None]


def _energy(wave: Float[Tensor, "*item channel time"]) -> Float[Tensor, "*item"]:
    return wave.square().mean((-2, -1))
