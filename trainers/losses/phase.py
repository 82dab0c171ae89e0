"""Distances between angles.

The estimate is an angle over pi; the reference is the true spectrum, whose angles are wanted. The
phase of silence is noise, which is why the magnitudes of the spectrum can weigh the bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from trainers.losses.contract import Loss, LossOptions

Angles = Float[Tensor, "batch channel freq frame"]
Spectrum = Complex[Tensor, "batch channel freq frame"]
Weighting = Literal["magnitude", "none"]

QUIETEST = 1e-8
"""Sum of magnitudes below which a clip is silent, and has no phase."""


@dataclass(frozen=True)
class PhaseOptions(LossOptions):
    """Which bins matter.

    Attributes:
        weighting: ``magnitude`` weighs each bin by its share of its clip's magnitudes; ``none``
            weighs all alike.
    """

    weighting: Weighting = "magnitude"


class PhaseCosine(PhaseOptions):
    """See :func:`phase_cosine`."""

    def make(self, sample_rate: int) -> Loss:
        """The loss."""
        return partial(phase_cosine, weighting=self.weighting)


class PhaseL1(PhaseOptions):
    """See :func:`phase_l1`."""

    def make(self, sample_rate: int) -> Loss:
        """The loss."""
        return partial(phase_l1, weighting=self.weighting)


def phase_cosine(
    estimate: Angles, reference: Spectrum, weighting: Weighting = "magnitude"
) -> Float[Tensor, ""]:
    """1 - cos of the difference: from 0 for the right angle to 2 for the opposite one.

    It is half of the squared distance of the two angles' points on the unit circle, so that angles
    just below pi and just above -pi are neighbours.
    """
    away = torch.pi * estimate - reference.angle()
    return _mean(1 - away.cos(), reference, weighting)


def phase_l1(
    estimate: Angles, reference: Spectrum, weighting: Weighting = "magnitude"
) -> Float[Tensor, ""]:
    """Absolute difference of angles over pi, which knows of no circle: from 0 to 2."""
    return _mean((estimate - reference.angle() / torch.pi).abs(), reference, weighting)


def _mean(away: Angles, reference: Spectrum, weighting: Weighting) -> Float[Tensor, ""]:
    """Mean over clips of the weighted mean over bins; of a silent clip 0."""
    if weighting == "none":
        return away.mean()
    weight = reference.abs()
    total = weight.sum((1, 2, 3)).clamp_min(QUIETEST)
    return ((weight * away).sum((1, 2, 3)) / total).mean()
