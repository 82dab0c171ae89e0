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
    """Compute the mean absolute difference of samples."""
    return (estimate - reference).abs().mean()


def mean_square(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Compute the mean squared difference of samples.

    Its minimum is the mean of all stems that are consistent with the mixture: ambiguous sound is
    split by probability, while absolute differences assign it to the likeliest stem.
    """
    return (estimate - reference).square().mean()


SMALLEST_SQUARE = 1e-8
"""Mean square added before a root is taken, whose slope is infinite at 0: -80 dB full scale.

Its own root is subtracted afterwards."""


def root_mean_square(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Compute the root mean square of the difference of each stem, averaged over items and stems.

    SCNet is trained with that of the complex STFT with a rectangular window (Tong et al. 2024,
    arXiv 2401.13276), which is proportional to it by Parseval's theorem, but for the ends of a
    clip. Loud errors count less than in :func:`mean_square`.
    """
    squares = (estimate - reference).square().mean((-2, -1))
    smallest = squares.new_tensor(SMALLEST_SQUARE)
    return ((squares + smallest).sqrt() - smallest.sqrt()).mean()


NOISE_FLOOR = 1e-5
"""Mean square added to error and reference, so that silence has a score: -50 dB full scale."""


def noise_to_signal(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Compute the error's level relative to the reference's in dB, averaged over items and stems.

    This is the negative signal-to-noise ratio with an absolute floor (the floor of Wisdom et al.
    2020, arXiv 2006.12701, is relative to the reference): easy clips count as much as hard ones,
    and for a silent reference it is the level of the leakage.
    """
    error = (estimate - reference).square().mean((-2, -1)) + NOISE_FLOOR
    signal = reference.square().mean((-2, -1)) + NOISE_FLOOR
    return 10 * torch.log10(error / signal).mean()


@dataclass(frozen=True)
class Masked(LossOptions):
    """Options of :func:`masked`.

    Attributes:
        quantile: quantile of the errors in a batch from which on items are left out; 1 keeps all.
    """

    quantile: float = 0.95

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return broken({"quantile must be above 0 and at most 1": not 0 < self.quantile <= 1})

    def make(self, sample_rate: int) -> Loss:
        """Create :func:`masked`."""
        return partial(masked, quantile=self.quantile)


def masked(estimate: Stems, reference: Stems, quantile: float) -> Float[Tensor, ""]:
    """Compute the mean squared difference without the items that differ most.

    An item whose error is at or above the quantile of its stem's errors in the batch may have wrong
    labels and is left out, as in Music-Source-Separation-Training. The mean is over the remaining
    items. If none would remain, in a batch of one or when all errors are equal, all are kept.
    Quantiles between two errors are interpolated, so that below a quantile of 1 the worst item of a
    batch never counts.
    """
    errors = (estimate - reference).square().mean((-2, -1))
    counted = kept(errors.detach(), quantile)
    return torch.where(counted, errors, 0).sum() / counted.sum()


def kept(errors: Float[Tensor, "batch stem"], quantile: float) -> Bool[Tensor, "batch stem"]:
    """Return which items are below the quantile of their stem; all of a stem if none is.

    A quantile of 1 keeps all. A NaN keeps its whole stem, so that it is not hidden.
    """
    if quantile == 1:
        return torch.ones_like(errors, dtype=torch.bool)
    below = errors < errors.quantile(quantile, dim=0)
    return below | ~below.any(0)


Planes = Float[Tensor, "batch stem channel freq frame"]

SMALLEST_NORM = 1e-8
"""Norm below which a spectrogram counts as having no shape."""


def component_loss(
    mask: Planes, target: Planes, residual: Planes, alpha: float = 0.2, beta: float = 0.8
) -> Float[Tensor, ""]:
    """Compute how much of the target a mask removes, and how much else it passes, in what shape.

    Xu et al. 2019, Components Loss for Neural Networks in Mask-Based Speech Enhancement
    (arXiv 1908.05087)::

        ((1 - alpha - beta) sum (M T - T)² + alpha sum (M R)²
            + beta sum (M R / |M R| - R / |R|)²) / count

    with norms over frequencies and frames.

    Args:
        mask: values between 0 and 1.
        target: magnitudes of the target.
        residual: magnitudes of the mixture minus those of the target.
        alpha: weight of the level of what is passed.
        beta: weight of its shape; if the two add up to more than 1, they are scaled to a sum of 1.
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
    """Compute the mean absolute difference of estimated and added noise."""
    return (estimate - reference).abs().mean()
