"""Signal to distortion ratio over a whole excerpt ("global" or "utterance" SDR).

Goal: how much louder the true stem is than what is wrong with the estimate, in decibels; higher is
better, 0 dB means the error is as loud as the stem.

``SDR = 10 log10( sum |reference|^2 / sum |reference - estimate|^2 )``

over all samples and channels. This is the definition of recent challenges (Fabbro et al. 2023,
arXiv 2308.06979), not BSSEval's, whose medians over one-second frames are another scale.
Argument order is (estimate, reference) everywhere.
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
    """Global SDR in dB of each item; of a silent reference 0 dB or far below."""
    signal = reference.double().square().sum((-2, -1))
    error = (reference.double() - estimate.double()).square().sum((-2, -1))
    return 10 * torch.log10((signal + ENERGY_FLOOR) / (error + ENERGY_FLOOR))
