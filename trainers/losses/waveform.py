"""Distances between waveforms."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from model_zoo.axes import Stems


def waveform_l1(estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
    """Mean absolute difference of samples."""
    return (estimate - reference).abs().mean()
