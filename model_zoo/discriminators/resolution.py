"""Views of bands of the spectrum at several resolutions.

As in DAC (Kumar et al. 2023, arXiv 2306.06546).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from model_zoo.discriminators.contract import Discriminator, SubDiscriminator
from model_zoo.discriminators.layers import conv2d, run
from model_zoo.discriminators.spectrum import Spectrum

BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


class MultiResolutionDiscriminator(Discriminator):
    """Looks at the spectrum in several resolutions, each in bands with layers of their own.

    Args:
        nch: channels of the waveform.
        sample_rate: in Hz; kept for the record, nothing depends on it.
        window_lengths: in samples.
        hop_factor: hop over window.
        bands: lower and upper ends, as fractions of the highest frequency.
        norm: normalise weights by their spectral norm.
        hidden_channels: of all layers.
    """

    def __init__(
        self,
        nch: int = 1,
        sample_rate: int = 48_000,
        window_lengths: Sequence[int] = (2048, 1024, 512),
        hop_factor: float = 0.25,
        bands: Sequence[tuple[float, float]] = BANDS,
        norm: bool = True,
        hidden_channels: int = 32,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.discriminators = nn.ModuleList(
            ResolutionDiscriminator(
                nch, window, int(window * hop_factor), bands, norm, hidden_channels
            )
            for window in window_lengths
        )


class ResolutionDiscriminator(SubDiscriminator):
    """One resolution; what the bands have found is joined along frequency and scored together."""

    def __init__(
        self,
        nch: int,
        window: int,
        hop: int,
        bands: Sequence[tuple[float, float]],
        norm: bool,
        hidden: int,
    ) -> None:
        super().__init__()
        self.spectrum = Spectrum(window, hop)
        bins = window // 2 + 1
        self.bands = [slice(int(low * bins), int(high * bins)) for low, high in bands]
        self.band_discriminators = nn.ModuleList(_stack(2 * nch, hidden, norm) for _ in bands)
        self.output_conv = conv2d(hidden, 1, (3, 3), padding=1, norm=norm, active=False)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See :class:`~model_zoo.discriminators.contract.SubDiscriminator`."""
        picture = self.spectrum(wave)
        found = [
            run(layers, picture[..., band])  # type: ignore[arg-type]
            for band, layers in zip(self.bands, self.band_discriminators, strict=True)
        ]
        score = self.output_conv(torch.cat([outputs[-1] for outputs in found], dim=-1))
        return score, [output for outputs in found for output in outputs]


def _stack(parts: int, hidden: int, norm: bool) -> nn.ModuleList:
    more: dict[str, Any] = {"padding": (1, 4), "norm": norm}
    return nn.ModuleList(
        [
            conv2d(parts, hidden, (3, 9), **more),
            *(conv2d(hidden, hidden, (3, 9), stride=(1, 2), **more) for _ in range(3)),
            conv2d(hidden, hidden, (3, 3), padding=1, norm=norm),
        ]
    )
