"""Losses of masks on magnitudes, for those who know the mask and what it was laid over."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Planes = Float[Tensor, "batch stem channel freq frame"]

QUIETEST = 1e-8
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
    return planes / norms.clamp_min(QUIETEST)
