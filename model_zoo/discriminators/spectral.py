"""Discriminators of spectrograms: EnCodec's multi-scale STFT and DAC's multi-band.

As in EnCodec (Défossez et al. 2022, arXiv 2210.13438).

As in DAC (Kumar et al. 2023, arXiv 2306.06546).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Wave
from model_zoo.discriminators.base import Discriminator, SubDiscriminator, conv2d, run
from model_zoo.ops.spectra import stft


class Spectrum(nn.Module):
    """Real and imaginary parts of a short-time spectrum, as channels of a picture.

    Args:
        window: length of the Hann window, in samples.
        hop: in samples.
    """

    window: Tensor

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def forward(self, wave: Wave) -> Float[Tensor, "batch part frame freq"]:
        """``part`` holds the real parts of all channels, then the imaginary ones."""
        spectrum = stft(wave, self.window, self.hop)
        return torch.cat([spectrum.real, spectrum.imag], dim=1).transpose(2, 3)


EPSILON = 1e-8
FULL_RATE = 48_000
"""Sample rate in Hz at which all bins are looked at; at a lower one only its share of them."""


class MultiFrequencyDiscriminator(Discriminator):
    """Looks at the complex spectrum in several resolutions, whatever the level of the sound.

    Args:
        nch: channels of the waveform.
        window_sizes: in samples; the hop is half of them.
        hidden_channels: of the first layer.
        sample_rate: in Hz.
        norm: normalize weights by their spectral norm, but for the last.
    """

    def __init__(
        self,
        nch: int,
        window_sizes: Sequence[int],
        hidden_channels: int = 8,
        sample_rate: int = 48_000,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            FrequencyDiscriminator(nch, window, hidden_channels, sample_rate, norm)
            for window in window_sizes
        )

    def prepare(self, wave: Wave) -> Wave:
        """Each item at unit energy over its channels and its length."""
        energy = wave.square().sum((-2, -1), keepdim=True)
        return wave / (energy + EPSILON).sqrt()


class FrequencyDiscriminator(SubDiscriminator):
    """One resolution; kernels grow along time by dilation, the picture shrinks along frequency."""

    def __init__(self, nch: int, window: int, hidden: int, sample_rate: int, norm: bool) -> None:
        super().__init__()
        self.spectrum = Spectrum(window, window // 2)
        self.bins = int((window // 2 + 1) * sample_rate / FULL_RATE)
        widths = [hidden * 2**step for step in range(6)]
        dilated = (
            conv2d(
                widths[step],
                widths[step + 1],
                (3, 9),
                stride=(1, 2),
                dilation=(2**step, 1),
                padding=(2**step, 4),
                norm=norm,
            )
            for step in range(3)
        )
        self.layers = nn.ModuleList(
            [
                conv2d(2 * nch, widths[0], (3, 9), padding=(1, 4), norm=norm),
                *dilated,
                conv2d(widths[3], widths[4], (3, 3), padding=1, norm=norm),
                conv2d(widths[4], widths[5], (3, 3), padding=1, norm=norm),
            ]
        )
        self.output_conv = conv2d(widths[5], 1, (3, 3), padding=1, norm=False, active=False)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See :class:`~model_zoo.discriminators.base.SubDiscriminator`."""
        features = run(self.layers, self.spectrum(wave)[..., : self.bins])
        return self.output_conv(features[-1]), features


BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


class MultiResolutionDiscriminator(Discriminator):
    """Looks at the spectrum in several resolutions, each in bands with layers of their own.

    Args:
        nch: channels of the waveform.
        sample_rate: in Hz; kept for the record, nothing depends on it.
        window_lengths: in samples.
        hop_factor: hop over window.
        bands: lower and upper ends, as fractions of the highest frequency.
        norm: normalize weights by their spectral norm.
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
        """See :class:`~model_zoo.discriminators.base.SubDiscriminator`."""
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
