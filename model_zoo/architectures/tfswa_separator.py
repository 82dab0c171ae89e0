"""What TFSWA networks that answer with masks have around them: what they hear, and their answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.spectral import (
    Spectra,
    SpectralConfig,
    SpectralSeparator,
    Spectrum,
    parts_of,
)
from model_zoo.axes import Stems, Wave
from model_zoo.config import broken
from model_zoo.ops.stft import with_nyquist

LEAST_VARIANCE = 1e-8
"""Variance added to that of a bin, whose sound would otherwise be divided by zero in silence."""


def instance_normalised(
    x: Float[Tensor, "batch channel frame freq"],
) -> Float[Tensor, "batch channel frame freq"]:
    """Every bin of every channel without its mean over time, and divided by its deviation."""
    variance, mean = torch.var_mean(x, dim=2, keepdim=True, correction=0)
    return (x - mean) * torch.rsqrt(variance + LEAST_VARIANCE)


@dataclass(frozen=True, kw_only=True)
class TFSWAConfig(SpectralConfig):
    """Options of the TFSWA networks that answer with masks, beside their own.

    A subclass has ``dims``, ``depths``, ``attention_window``, ``shift_size`` and ``num_heads`` too.
    """

    stems: tuple[str, ...] = ("vocals", "accompaniment")
    segment: int = 130_048

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        return super().mistakes() or tfswa_mistakes(self)


def tfswa_mistakes(config: Any) -> list[str]:
    """What is wrong with the levels of a TFSWA network, one sentence each."""
    dims, heads = config.dims, config.num_heads
    return broken(
        {
            f"depths must be as many as dims: {len(config.depths)} instead of {len(dims)}": (
                len(config.depths) != len(dims)
            ),
            "dims must list at least two levels": len(dims) < 2,
            f"dims must be multiples of num_heads={heads}": any(dim % heads for dim in dims),
            "dims and depths must be 1 or more": min((*dims, *config.depths), default=1) < 1,
            f"shift_size must be below attention_window={config.attention_window}": (
                config.shift_size >= config.attention_window
            ),
        }
    )


class TFSWASeparator(SpectralSeparator):
    """Base of separators around a TFSWA network, which it keeps as ``network``.

    The network sees real and imaginary part of one audio channel, each bin normalised over time,
    and gives every stem a mask between 0 and 1. Nyquist is left out and silent.
    """

    Config: ClassVar[type[TFSWAConfig]]
    channels = 1
    network: nn.Module

    @property
    def core(self) -> nn.Module:
        """Normalised spectrum to masks."""
        return self.network

    def blocks(self) -> Iterator[nn.Module]:
        """Every block, and the layers between levels."""
        for stage in parts_of(self.network):
            yield from parts_of(stage)

    def spectrum(self, mixture: Wave) -> Spectrum:
        """All bins but Nyquist."""
        return super().spectrum(mixture)[:, :, :-1]

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch 2 frame freq"]:
        """Real and imaginary part, normalised."""
        numbers = torch.view_as_real(spectrum[:, 0])
        return instance_normalised(rearrange(numbers, "b f t m -> b m t f"))

    def answer(
        self, spectrum: Spectrum, numbers: Float[Tensor, "batch stem frame freq"]
    ) -> Spectra:
        """The spectrum through a mask for each stem."""
        return spectrum[:, None] * rearrange(numbers, "b s t f -> b s 1 f t")

    def waves(self, spectra: Spectra, length: int) -> Stems:
        """Waveforms without Nyquist."""
        return super().waves(with_nyquist(spectra), length)
