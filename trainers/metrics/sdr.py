"""Signal to distortion ratios over a whole excerpt.

Goal: the level of the true stem relative to the estimate's error, in decibels; higher is better,
and at 0 dB the error is as loud as the stem. Two definitions:

- ``global`` (or utterance) SDR, ``10 log10( |s|^2 / |s - e|^2 )`` over all samples and channels:
  that of recent challenges (Fabbro et al. 2023, arXiv 2308.06979), with the mean over songs.
- ``SI-SDR``, the same with the true stem scaled by the gain that fits the estimate best, so that
  an estimate's level does not matter (Le Roux et al. 2018, "SDR - half-baked or well done?",
  arXiv 1811.02508, equation 3). One gain for all channels.

Neither is the SDR of BSSEval (:mod:`trainers.metrics.bsseval`), whose medians over windows of a
second are on another scale. Argument order is (estimate, reference) everywhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ENERGY_FLOOR = 1e-10
"""Added to both energies, so that two silent signals give 0 dB and not NaN."""


def global_sdr(
    estimate: Float[Tensor, "*batch channel time"], reference: Float[Tensor, "*batch channel time"]
) -> Float[Tensor, "*batch"]:
    """Return global SDR in dB per item; silent references give 0 dB if matched, else far below."""
    signal = reference.double().square().sum((-2, -1))
    error = (reference.double() - estimate.double()).square().sum((-2, -1))
    return 10 * torch.log10((signal + ENERGY_FLOOR) / (error + ENERGY_FLOOR))


def si_sdr(
    estimate: Float[Tensor, "*batch channel time"], reference: Float[Tensor, "*batch channel time"]
) -> Float[Tensor, "*batch"]:
    """Return SI-SDR in dB per item; silent estimates give 0 dB, silent references far below.

    Neither value is meaningful: leave silent stems out.
    """
    made, true = estimate.double().flatten(-2), reference.double().flatten(-2)
    gain = (made * true).sum(-1) / true.square().sum(-1).clamp_min(ENERGY_FLOOR)
    fitted = gain[..., None] * true
    error = (fitted - made).square().sum(-1)
    return 10 * torch.log10((fitted.square().sum(-1) + ENERGY_FLOOR) / (error + ENERGY_FLOOR))
