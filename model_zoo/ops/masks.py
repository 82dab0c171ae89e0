"""Masks on complex spectra: what a network's output means."""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

SMALLEST_POWER = 1e-10
"""Keeps the ratio of silences defined (Spleeter's epsilon)."""


def elementwise(
    spectrum: Complex[Tensor, "*#batch freq frame"], mask: Float[Tensor, "*#batch freq frame 2"]
) -> Complex[Tensor, "*#batch freq frame"]:
    """Scale real and imaginary part each by its own number (not a complex product)."""
    return torch.view_as_complex((torch.view_as_real(spectrum) * mask).contiguous())


def complex_product(
    spectrum: Complex[Tensor, "*#batch freq frame"], mask: Float[Tensor, "*#batch freq frame 2"]
) -> Complex[Tensor, "*#batch freq frame"]:
    """Scale and turn the phase: the product with a complex number.

    Williamson, Wang and Wang 2016, Complex Ratio Masking for Monaural Speech Separation, IEEE/ACM
    Transactions on Audio, Speech, and Language Processing 24(3), 483.
    """
    return spectrum * torch.view_as_complex(mask.contiguous())


def gain(
    spectrum: Complex[Tensor, "*#batch freq frame"], mask: Float[Tensor, "*#batch freq frame 1"]
) -> Complex[Tensor, "*#batch freq frame"]:
    """Scale and keep the phase of the mixture.

    Real numbers times real ones: beside a complex number, a real one would become complex first.
    """
    return torch.view_as_complex(torch.view_as_real(spectrum) * mask)


def power_ratio(
    estimates: Float[Tensor, "batch stem *plane"], exponent: float
) -> Float[Tensor, "batch stem *plane"]:
    """Masks in the ratio of the stems' estimated magnitudes, each to the power of ``exponent``.

    They add up to 1; where all estimates are 0, every stem gets the same share. With an exponent of
    2 this is the Wiener filter of independent sources (Liutkus and Badeau 2015, Generalized Wiener
    filtering with fractional power spectrograms, ICASSP, eq. 5).
    """
    powers = estimates**exponent
    share = SMALLEST_POWER / estimates.shape[1]
    return (powers + share) / (powers.sum(1, keepdim=True) + SMALLEST_POWER)
