"""Distances between waveforms."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems


def waveform_l1(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Mean absolute difference of samples."""
    return (estimate - reference).abs().mean()


def mean_square(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Mean squared difference of samples.

    Least for the mean of all stems that the mixture may hold: sound that could be voice or band is
    shared between them by its odds, where absolute differences give it to the likelier.
    """
    return (estimate - reference).square().mean()


NOISE_FLOOR = 1e-5
"""Mean square added to error and reference, so that silence has a score: -50 dB of a wave of 1."""


def noise_to_signal(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Mean over items and stems of the error's level against the reference's, in dB.

    The negative signal to noise ratio with an absolute floor (Wisdom et al. 2020, arXiv 2006.12701,
    put one relative to the reference under the error): a clear clip weighs as much as a hard one,
    and for a silent reference it is the level of what leaked.
    """
    error = (estimate - reference).square().mean((-2, -1)) + NOISE_FLOOR
    signal = reference.square().mean((-2, -1)) + NOISE_FLOOR
    return 10 * torch.log10(error / signal).mean()
