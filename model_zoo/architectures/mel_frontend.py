"""What the mel-band architectures share: spectrogram in, mask or spectrum out, waveform back.

The original networks (MSRKit) take one audio channel, see real and imaginary parts and answer with
numbers for the same two. The keyword-only options widen that: two channels at once, mid and side,
compressed magnitudes as input, gains or complex products as output. Their defaults are the
original's, so that its checkpoints mean here what they meant there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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
from model_zoo.separator import Spectra, SpectralConfig, SpectralSeparator, Spectrum, as_wave

MaskKind = Literal["elementwise", "complex", "gain"]

COMPRESSION = 0.3
"""Exponent that brings magnitudes of loud and quiet bins into one range."""

FAINTEST = 1e-8
"""Magnitude added before compression, whose slope is infinite at zero."""

LARGEST_BANK = 2**25
"""Bands times samples of a window: such a bank is made of some hundred megabytes."""


@dataclass(frozen=True, kw_only=True)
class MelConfig(SpectralConfig):
    """Options that all mel-band architectures know beside their own.

    Attributes:
        audio_channels: 1, or 2 for a network that sees left and right together.
        stereo: work on left and right (``"lr"``) or on mid and side (``"ms"``).
        num_bands: bands the spectrogram is split into.
        features: ``"complex"`` real and imaginary part of each bin; ``"magnitude"`` compressed
            magnitudes of every channel, for two channels also of their sum and difference.
        output: ``"mask"`` multiplies the mixture, ``"map"`` is the spectrum itself.
        mask_mult: how a mask multiplies, see :mod:`model_zoo.ops.spectra`.
        mask_activation: ``"sigmoid"`` keeps every number of a mask between 0 and 1.
        overlap_norm: see :class:`model_zoo.blocks.spectral.Band`.
        expander_db: level against the mixture below which a whole stem fades out, see
            :func:`model_zoo.ops.spectra.expand`; None for never. While it is trained the network
            hears its own answer, without the fading. What fades out goes to the residual; in a set
            of stems without one, all share it.
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
        threshold, size = self.expander_db, _bank_size(self)
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
        """Numbers per bin that go into the network."""
        if self.features == "complex":
            return 2 * self.audio_channels
        return 1 if self.audio_channels == 1 else 4

    @property
    def numbers_per_mask(self) -> int:
        """Numbers that one bin of one channel of one stem needs."""
        return 1 if self.output == "mask" and self.mask_mult == "gain" else 2


def _bank_size(config: Any) -> int:
    """The window is a field of each architecture, in the order of its arguments."""
    return config.num_bands * config.window_size


SMALL = {"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "num_bands": 12}
SEVERAL = {"stems": ("vocals", "drums", "bass"), "audio_channels": 2}
PUBLIC = (2048, 512, 48_000)
"""Window, hop and sample rate of the public weights."""


class MelSeparator(SpectralSeparator):
    """Base of the mel-band architectures; a subclass adds its blocks and its :attr:`core`."""

    Config: ClassVar[type[MelConfig]]
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "expander_db")
    config: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.audio_channels
        self.band = Band(
            config.sample_rate,
            config.window_size,
            config.num_bands,
            config.feature_channels,
            config.hidden_channels,
            merge_channels=len(self.stems) * self.channels * config.numbers_per_mask,
            overlap_norm=config.overlap_norm,
        )

    def forward(self, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Separate a batch of mixtures.

        Also takes the mono form ``batch time`` of the original and then, for one stem, returns it.
        """
        if mixture.ndim == 2:
            self._check_mono_form()
            return self.forward(as_wave(mixture))[:, 0, 0]
        waves = super().forward(mixture)
        threshold = None if self.training else self.config.expander_db
        return waves if threshold is None else expand(waves, mixture, threshold)

    def spectrum(self, mixture: Wave) -> Spectrum:
        """Spectra of left and right, or of mid and side."""
        return self._rotate(super().spectrum(mixture))

    def waves(self, spectra: Spectra, length: int) -> Stems:
        """Waveforms of left and right."""
        return super().waves(self._rotate(spectra), length)

    def _check_mono_form(self) -> None:
        if len(self.stems) * self.channels > 1:
            raise ConfigError(
                type(self).__name__,
                [
                    "a waveform without channel axis is for one stem of one channel; give it as "
                    "batch channel time"
                ],
            )

    def _rotate(self, spectrum: Complex[Tensor, "*batch channel freq frame"]) -> Tensor:
        """Left and right to mid and side, or back: the map is its own inverse."""
        if self.config.stereo == "lr":
            return spectrum
        left, right = spectrum.unbind(-3)
        return torch.stack([left + right, left - right], dim=-3) * 0.5**0.5

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch freq frame feature"]:
        """Real and imaginary parts, or compressed magnitudes."""
        if self.config.features == "complex":
            return rearrange(torch.view_as_real(spectrum), "b c f t m -> b f t (c m)")
        if self.channels == 2:
            left, right = spectrum.unbind(1)
            other_pair = torch.stack([left + right, left - right], dim=1) * 0.5**0.5
            spectrum = torch.cat([spectrum, other_pair], dim=1)
        return rearrange((spectrum.abs() + FAINTEST) ** COMPRESSION, "b c f t -> b f t c")

    def answer(
        self, spectrum: Spectrum, numbers: Float[Tensor, "batch freq frame number"]
    ) -> Spectra:
        """The numbers as spectra, or as masks of the mixture."""
        numbers = rearrange(
            numbers, "b f t (s c m) -> b s c f t m", s=len(self.stems), c=self.channels
        )
        if self.config.output == "map":
            return torch.view_as_complex(numbers.contiguous())
        if self.config.mask_activation == "sigmoid":
            numbers = numbers.sigmoid()
        multiply = {
            "elementwise": spectra.elementwise,
            "complex": spectra.complex_product,
            "gain": spectra.gain,
        }[self.config.mask_mult]
        return multiply(spectrum.unsqueeze(1), numbers)


def trained_frames(config: Any) -> int:
    """Frames of the segment a network is trained on: what a time block prepares for."""
    return config.segment // config.hop_size + 1
