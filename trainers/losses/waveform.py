"""Losses on waveforms, on noise and on masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from model_zoo.axes import Stems
from model_zoo.config import broken
from trainers.losses.base import Loss, LossOptions


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


@dataclass(frozen=True)
class Masked(LossOptions):
    """What is left out.

    Attributes:
        quantile: of the errors in a batch, from which on an item is left out; 1 leaves none out.
    """

    quantile: float = 0.95

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken({"quantile must be above 0 and at most 1": not 0 < self.quantile <= 1})

    def make(self, sample_rate: int) -> Loss:
        """See :func:`masked`."""
        return partial(masked, quantile=self.quantile)


def masked(estimate: Stems, reference: Stems, quantile: float) -> Float[Tensor, ""]:
    """Mean squared difference without the items that differ most.

    An item whose error lies at or above the quantile of its stem's errors in the batch may be
    labelled wrongly, and is left out, as in Music-Source-Separation-Training. The mean is over the
    items that are left. Where none would be left, in a batch of one or when all errors are
    equal, all are kept. Quantiles between two errors are interpolated, so that below a quantile
    of 1 the worst item of a batch never counts.
    """
    errors = (estimate - reference).square().mean((-2, -1))
    counted = kept(errors.detach(), quantile)
    return torch.where(counted, errors, 0).sum() / counted.sum()


def kept(errors: Float[Tensor, "batch stem"], quantile: float) -> Bool[Tensor, "batch stem"]:
    """Which items lie below the quantile of their stem; all of a stem where none would.

    A quantile of 1 keeps all. One NaN keeps its whole stem, so that it is seen.
    """
    if quantile == 1:
        return torch.ones_like(errors, dtype=torch.bool)
    below = errors < errors.quantile(quantile, dim=0)
    return below | ~below.any(0)


Planes = Float[Tensor, "batch stem channel freq frame"]

SMALLEST_NORM = 1e-8
"""Norm of a spectrogram below which it has no shape."""


def component_loss(
    mask: Planes, target: Planes, residual: Planes, alpha: float = 0.2, beta: float = 0.8
) -> Float[Tensor, ""]:
    """How much of the target a mask takes away, how much else it lets through, and in what shape.

    Xu et al. 2019, Components Loss for Neural Networks in Mask-Based Speech Enhancement
    (arXiv 1908.05087)::

        ((1 - alpha - beta) sum (M T - T)² + alpha sum (M R)²
            + beta sum (M R / |M R| - R / |R|)²) / count

    where norms are taken over frequencies and frames.

    Args:
        mask: between 0 and 1.
        target: magnitudes that shall stay.
        residual: magnitudes of the mixture less those of the target.
        alpha: weight of what is let through.
        beta: weight of its shape; the two are brought to a sum of 1 where theirs is larger.
    """
    whole = max(1.0, alpha + beta)
    alpha, beta = alpha / whole, beta / whole
    passed = mask * residual
    lost = (mask * target - target).square().sum()
    shape = (_normed(passed) - _normed(residual)).square().sum()
    total = (1 - alpha - beta) * lost + alpha * passed.square().sum() + beta * shape
    return total / mask.numel()


def _normed(planes: Planes) -> Planes:
    norms = torch.linalg.vector_norm(planes, dim=(-2, -1), keepdim=True)
    return planes / norms.clamp_min(SMALLEST_NORM)


def noise_l1(
    estimate: Float[Tensor, "batch ..."], reference: Float[Tensor, "batch ..."]
) -> Float[Tensor, ""]:
    """Mean absolute difference of the estimated noise from the one that was laid over."""
    return (estimate - reference).abs().mean()
