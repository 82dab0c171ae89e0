"""Front end of the mel-band networks: STFT, mid and side, features, masks or spectra, inverse STFT.

The original networks (MSRKit) take one audio channel, see the real and imaginary part of each bin
and return two values for the same two. The keyword-only options extend that to two channels at
once, mid and side, compressed magnitudes as input, and gains or complex products as output. With
their defaults, checkpoints of the original compute the same here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor

from model_zoo.axes import MonoWave, Stems, Wave
from model_zoo.blocks.spectral import Band, OverlapNorm
from model_zoo.config import broken
from model_zoo.errors import ConfigError
from model_zoo.ops import spectra
from model_zoo.ops.spectra import expand
from model_zoo.separator import Frontend, Spectra, SpectralConfig, Spectrum

MaskKind = Literal["elementwise", "complex", "gain"]

COMPRESSION = 0.3
"""Exponent that compresses the dynamic range of magnitudes."""

FAINTEST = 1e-8
"""Magnitude added before compression, whose slope is infinite at zero."""

LARGEST_BANK = 2**25
"""Limit of bands times window samples; a filter bank of this size takes some hundred megabytes."""

MASKS: dict[MaskKind, Callable[[Tensor, Tensor], Tensor]] = {
    "elementwise": spectra.elementwise,
    "complex": spectra.complex_product,
    "gain": spectra.gain,
}


@dataclass(frozen=True, kw_only=True)
class MelConfig(SpectralConfig):
    """Options that all mel-band architectures have beside their own.

    Attributes:
        audio_channels: 1, or 2 for a network that processes left and right together.
        stereo: work on left and right (``"lr"``) or on mid and side (``"ms"``).
        num_bands: bands the spectrogram is split into.
        features: ``"complex"`` real and imaginary part of each bin; ``"magnitude"`` compressed
            magnitudes of every channel, for two channels also of their sum and difference.
        output: ``"mask"`` multiplies the mixture, ``"map"`` is the spectrum itself.
        mask_mult: how a mask multiplies, see :mod:`model_zoo.ops.spectra`.
        mask_activation: ``"sigmoid"`` keeps every value of a mask between 0 and 1.
        overlap_norm: see :class:`model_zoo.blocks.spectral.Band`.
        expander_db: level relative to the mixture below which a whole stem fades out, see
            :func:`model_zoo.ops.spectra.expand`; None for never. Stems are not faded in training.
            The residual takes what fades out; in a set of stems without one, all share it.
    """

    audio_channels: int = 1
    stereo: Literal["lr", "ms"] = "lr"
    num_bands: int = 64
    features: Literal["complex", "magnitude"] = "complex"
    output: Literal["mask", "map"] = "mask"
    mask_mult: MaskKind = "elementwise"
    mask_activation: Literal["none", "sigmoid"] = "none"
    overlap_norm: OverlapNorm = "ola"
    expander_db: float | None = None

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        threshold, size = self.expander_db, self.num_bands * self.window_size
        rules = {
            f"expander_db must lie between -100 and 0, found {threshold}": threshold is not None
            and not -100 < threshold < 0,
            f"num_bands times window_size must be at most {LARGEST_BANK:,}, found {size:,}": (
                size > LARGEST_BANK
            ),
            "audio_channels must be 1 or 2": self.audio_channels not in (1, 2),
            "stereo='ms' needs audio_channels=2": self.stereo == "ms" and self.audio_channels == 1,
            "output='map' needs mask_mult='elementwise' and mask_activation='none'": (
                self.output == "map"
                and (self.mask_mult != "elementwise" or self.mask_activation != "none")
            ),
        }
        return super().mistakes() + broken(rules)

    @property
    def feature_channels(self) -> int:
        """Input values of the network per bin."""
        if self.features == "complex":
            return 2 * self.audio_channels
        return 1 if self.audio_channels == 1 else 4

    @property
    def values_per_mask(self) -> int:
        """Output values of the network per bin of each channel of each stem."""
        return 1 if self.output == "mask" and self.mask_mult == "gain" else 2


def mel_band(config: MelConfig, width: int) -> Band:
    """Layers from the bins of a spectrogram to tokens of ``width`` features per band, and back."""
    return Band(
        config.sample_rate,
        config.window_size,
        config.num_bands,
        config.feature_channels,
        width,
        merge_channels=len(config.stems) * config.audio_channels * config.values_per_mask,
        overlap_norm=config.overlap_norm,
    )


class MelFrontend(Frontend):
    """Spectrograms for mel-band networks.

    Like the original networks, it also takes mixtures without a channel axis, ``batch time``, and
    then returns the only stem in the same form.

    Args:
        config: of the separator.
    """

    def __init__(self, config: MelConfig) -> None:
        super().__init__(config.window_size, config.hop_size)
        self.config = config

    def analyze(self, mixture: Wave | MonoWave) -> Spectrum:
        """Spectrograms of left and right, or of mid and side."""
        return self._rotate(super().analyze(self._with_channels(mixture)))

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch freq frame feature"]:
        """Real and imaginary parts, or compressed magnitudes."""
        if self.config.features == "complex":
            return rearrange(torch.view_as_real(spectrum), "b c f t m -> b f t (c m)")
        if self.config.audio_channels == 2:
            spectrum = torch.cat([spectrum, mid_side(spectrum)], dim=1)
        return rearrange((spectrum.abs() + FAINTEST) ** COMPRESSION, "b c f t -> b f t c")

    def apply_output(
        self, spectrum: Spectrum, output: Float[Tensor, "batch freq frame value"]
    ) -> Spectra:
        """The output as spectrograms, or as masks of the mixture's."""
        values = rearrange(
            output,
            "b f t (s c m) -> b s c f t m",
            c=self.config.audio_channels,
            m=self.config.values_per_mask,
        )
        if self.config.output == "map":
            return torch.view_as_complex(values.contiguous())
        if self.config.mask_activation == "sigmoid":
            values = values.sigmoid()
        return MASKS[self.config.mask_mult](spectrum.unsqueeze(1), values)

    def synthesize(self, spectra: Spectra, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Waveforms of left and right; faint stems are faded out, except in training."""
        wave = self._with_channels(mixture)
        stems = super().synthesize(self._rotate(spectra), wave)
        if self.config.expander_db is not None and not self.training:
            stems = expand(stems, wave, self.config.expander_db)
        return stems if mixture.ndim == 3 else stems[:, 0, 0]

    def _with_channels(self, mixture: Wave | MonoWave) -> Wave:
        if mixture.ndim == 3:
            return mixture
        if len(self.config.stems) * self.config.audio_channels > 1:
            raise ConfigError(
                "mixture",
                [
                    "a waveform without a channel axis is for networks with one stem of one "
                    "channel; pass batch channel time"
                ],
            )
        return mixture.unsqueeze(1)

    def _rotate(self, spectrum: Complex[Tensor, "*batch channel freq frame"]) -> Tensor:
        return mid_side(spectrum) if self.config.stereo == "ms" else spectrum


def mid_side(
    spectrum: Complex[Tensor, "*batch 2 freq frame"],
) -> Complex[Tensor, "*batch 2 freq frame"]:
    """Left and right to mid and side, or back: the map is its own inverse."""
    left, right = spectrum.unbind(-3)
    return torch.stack([left + right, left - right], dim=-3) * 0.5**0.5


SMALL = {"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "num_bands": 12}
"""Spectrogram options of the smallest networks."""
