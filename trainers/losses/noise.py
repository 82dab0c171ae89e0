"""Distances of what a core gives from a noise."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def noise_l1(
    estimate: Float[Tensor, "batch ..."], reference: Float[Tensor, "batch ..."]
) -> Float[Tensor, ""]:
    """Mean absolute difference of the estimated noise from the one that was laid over."""
    return (estimate - reference).abs().mean()
