"""FrameTransformer and PhasePredictor: a U-Net over the bins of frames, with attention over time.

After https://github.com/carperbr/frame-transformer, in the form that has 357,493,618 parameters.
Every level has transformers between frames; from one level to the next the bins are halved and the
channels multiplied.

Two things differ from the original. It divides the magnitudes of a song by their maximum. Here the
song is scaled to a peak of 1 beforehand (``level``), and magnitudes are divided by that
of a sine with this peak, which needs no pass over the spectrogram of the whole song. And the
original compares values between 0.5 and 1 with an angle between -1 and 1; here the network's range
is that of the angle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.frame_attention import (
    FrameDecoder,
    FrameEncoder,
    FrameTransformerDecoder,
    FrameTransformerEncoder,
    MultichannelLinear,
    Planes,
)
from model_zoo.config import broken
from model_zoo.ops.spectra import with_nyquist
from model_zoo.separator import Frontend, Spectra, SpectralConfig, SpectralSeparator, Spectrum

FEWEST_BINS = 4
"""Minimum of bins per head, which rotary position embedding needs."""


@dataclass(frozen=True)
class FrameConfig(SpectralConfig):
    """Arguments of all frame transformers.

    Attributes:
        in_channels: audio channels, 1 or 2.
        channels: channels of the network, before the multiplier of each level.
        expansion: width factor inside the feed-forward part of a transformer.
        multipliers: channel multipliers, one for each level from the outermost inwards; every level
            but the first halves the bins.
        num_heads: attention heads of the levels; the last entry also holds for all deeper levels.
        dropout: dropout probability in training.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
    """

    in_channels: int = 2
    channels: int = 4
    expansion: int = 4
    multipliers: tuple[int, ...] = (1, 2, 4, 6, 12, 24)
    num_heads: tuple[int, ...] = (16, 8, 4, 4, 4, 4)
    dropout: float = 0.1
    window_size: int = 2048
    hop_size: int = 1024
    sample_rate: int = 44_100
    segment: int = field(default=511 * 1024, kw_only=True)  # 512 frames, 11.9 s

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        rules = {
            "in_channels must be 1 or 2": self.in_channels not in (1, 2),
            "dropout must be 0 or more and below 1": not 0 <= self.dropout < 1,
            "multipliers must list one number of 1 or more per level": (
                min(self.multipliers, default=0) < 1
            ),
            "num_heads must list numbers of 1 or more": min(self.num_heads, default=0) < 1,
        }
        found = super().mistakes() + broken(rules)
        return found or [*self._uneven()]

    @property
    def network_arguments(
        self,
    ) -> tuple[int, int, int, int, tuple[int, ...], tuple[int, ...], float]:
        """Positional arguments of :class:`FrameDescent`."""
        widths = (self.in_channels, self.channels, self.window_size, self.expansion)
        return (*widths, self.multipliers, self.num_heads, self.dropout)

    def _uneven(self) -> Iterator[str]:
        """Bins that cannot be halved, or not be shared evenly between heads."""
        levels = len(self.multipliers)
        if self.window_size % 2**levels:
            yield (
                f"window_size must be a multiple of {2**levels} for {levels} levels of "
                f"multipliers, found {self.window_size}"
            )
            return
        bins = [self.window_size // 2 ** (level + 1) for level in range(levels)]
        heads_by_level = heads_of(self.num_heads, levels)
        for level, (count, heads) in enumerate(zip(bins, heads_by_level, strict=True)):
            if count % heads or count // heads < FEWEST_BINS:
                yield (
                    f"num_heads: level {level + 1} has {count} bins, which {heads} heads cannot "
                    f"share evenly with {FEWEST_BINS} or more each"
                )


def heads_of(num_heads: tuple[int, ...], levels: int) -> list[int]:
    """Heads of every level: the last entry also holds for all deeper levels."""
    return [*num_heads, *[num_heads[-1]] * levels][:levels]


@dataclass(frozen=True)
class SoundConfig(FrameConfig):
    """Arguments of networks that return the sound of the mixture itself."""

    stems: tuple[str, ...] = field(default=("sound",), kw_only=True)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        return super().mistakes() + broken(
            {"stems must name one sound: the network returns its input": len(self.stems) > 1}
        )


class LevelSize(NamedTuple):
    """Sizes of one level of the U-Net."""

    channels: int
    features: int
    num_heads: int


class FrameDescent(nn.Module):
    """Encoder half of the U-Net: an encoder and a transformer on each level.

    Args:
        in_channels: input channels.
        channels: channels of the network, before the multiplier of each level.
        n_fft: STFT window in samples; the input has half as many bins.
        expansion: width factor inside the feed-forward part of a transformer.
        multipliers: channel multipliers, one per level.
        num_heads: attention heads of the levels; the last entry also holds for all deeper levels.
        dropout: dropout probability in training.
    """

    def __init__(
        self,
        in_channels: int = 2,
        channels: int = 4,
        n_fft: int = 2048,
        expansion: int = 4,
        multipliers: Sequence[int] = (1, 2, 4, 6, 12, 24),
        num_heads: Sequence[int] = (16, 8, 4, 4, 4, 4),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        heads = heads_of(tuple(num_heads), len(multipliers))
        self.levels = [
            LevelSize(channels * multiplier, n_fft // 2 ** (depth + 1), count)
            for depth, (multiplier, count) in enumerate(zip(multipliers, heads, strict=True))
        ]
        first = self.levels[0]
        self.encoders = nn.ModuleList(
            [FrameEncoder(in_channels, first.channels, first.features, False, dropout)]
        )
        self.encoders += [
            FrameEncoder(outer.channels, inner.channels, outer.features, True, dropout)
            for outer, inner in pairwise(self.levels)
        ]
        self.transformers = nn.ModuleList(
            FrameTransformerEncoder(*level, dropout, expansion) for level in self.levels
        )

    def descend(self, x: Planes) -> list[Float[Tensor, "batch channel_level freq_level frame"]]:
        """Outputs of all levels, the outermost first."""
        levels: list[Tensor] = []
        for encoder, transformer in zip(self.encoders, self.transformers, strict=True):
            x = transformer(encoder(x))
            levels.append(x)
        return levels


class FrameTransformer(FrameDescent):
    """U-Net with skip connections from magnitudes between -1 and 1 to mask logits.

    Takes the arguments of :class:`FrameDescent` and one more:

    Args:
        out_channels: output channels; 0 for as many as ``in_channels``.
    """

    def __init__(
        self,
        in_channels: int = 2,
        channels: int = 4,
        n_fft: int = 2048,
        expansion: int = 4,
        multipliers: Sequence[int] = (1, 2, 4, 6, 12, 24),
        num_heads: Sequence[int] = (16, 8, 4, 4, 4, 4),
        dropout: float = 0.1,
        out_channels: int = 0,
    ) -> None:
        super().__init__(in_channels, channels, n_fft, expansion, multipliers, num_heads, dropout)
        ascent = [*pairwise(self.levels)][::-1]
        self.decoders = nn.ModuleList(
            FrameDecoder(inner.channels, outer.channels, outer.features, dropout)
            for outer, inner in ascent
        )
        self.decoder_transformers = nn.ModuleList(
            FrameTransformerDecoder(*outer, dropout, expansion) for outer, _ in ascent
        )
        self.out = mix(self.levels[0], out_channels or in_channels)

    def forward(
        self, x: Float[Tensor, "batch channel freq frame"]
    ) -> Float[Tensor, "batch channel_out freq frame"]:
        """One value per bin and channel; not bounded."""
        *skips, x = self.descend(x)
        levels = zip(self.decoders, self.decoder_transformers, reversed(skips), strict=True)
        for decoder, transformer, skip in levels:
            x = transformer(decoder(x, skip), skip)
        return self.out(x)


def mix(level: LevelSize, out_channels: int) -> MultichannelLinear:
    """Last layer, from the channels of the outermost level to those of the output."""
    bins = level.features
    return MultichannelLinear(level.channels, out_channels, bins, bins, positionwise=False)


class MagnitudeFrontend(Frontend):
    """Magnitudes for a core whose output is masks.

    Nyquist is not part of the features, and silent in the stems.
    """

    @property
    def full_scale(self) -> Float[Tensor, ""]:
        """Magnitude of a sine with a peak of 1."""
        return self.window.sum() / 2

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch channel freq_in frame"]:
        """Magnitudes between -1 (silence) and 1 (a sine at full scale), without Nyquist."""
        shares = (spectrum[..., :-1, :].abs() / self.full_scale).clamp(0, 1)
        return 2 * shares - 1

    def apply_output(
        self, spectrum: Spectrum, output: Float[Tensor, "batch mask freq_in frame"]
    ) -> Spectra:
        """Spectrogram of the mixture under the sigmoid of the output, with 0 at Nyquist."""
        masks = rearrange(output.sigmoid(), "b (s c) f t -> b s c f t", c=spectrum.shape[1])
        return spectrum.unsqueeze(1) * with_nyquist(masks)


class PhaseFrontend(MagnitudeFrontend):
    """Magnitudes for a core whose output is angles, divided by pi.

    The lowest and the highest bin keep their own phase: both are real, so turning them would change
    their level. (The core does not see the highest one either.)
    """

    def apply_output(
        self, spectrum: Spectrum, output: Float[Tensor, "batch channel freq_in frame"]
    ) -> Spectra:
        """Magnitudes of the spectrogram with the predicted angles."""
        lowest, seen, highest = spectrum.tensor_split((1, -1), dim=-2)
        turned = torch.polar(seen.abs(), math.pi * output[..., 1:, :].float())
        return torch.cat([lowest, turned, highest], dim=-2).unsqueeze(1)


SMALL = {
    **{"channels": 2, "multipliers": (1, 2), "num_heads": (2,), "expansion": 2},
    **{"window_size": 64, "hop_size": 32, "sample_rate": 8000, "segment": 4096},
}
"""Options of the smallest networks."""


@dataclass(frozen=True)
class FrameTransformerConfig(FrameConfig):
    """Arguments of :class:`FrameTransformerSeparator`: those of all frame transformers."""

    stems: tuple[str, ...] = field(default=("instrumental",), kw_only=True)


class FrameTransformerSeparator(SpectralSeparator):
    """Masks of the mixture's magnitudes, from transformers over whole frames.

    Takes the arguments of :class:`FrameTransformerConfig`.
    """

    Config = FrameTransformerConfig
    config: FrameTransformerConfig
    purpose = (
        "accompaniments from much data: a very large U-Net with transformers over whole frames"
    )
    documented_parameters = 357_493_618
    small_options = SMALL
    level = "peak"
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "dropout")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.in_channels
        self.fourier = MagnitudeFrontend(config.window_size, config.hop_size)
        masks = len(config.stems) * config.in_channels
        self.network = FrameTransformer(*config.network_arguments, out_channels=masks)

    @property
    def keeps_shape(self) -> bool:
        """True with one stem: there is one mask logit for each magnitude."""
        return len(self.stems) == 1


class PhasePredictor(FrameTransformer):
    """Angles, divided by pi, from magnitudes between -1 and 1.

    Takes the arguments of :class:`FrameTransformer`.
    """

    def forward(
        self, x: Float[Tensor, "batch channel freq frame"]
    ) -> Float[Tensor, "batch channel freq frame"]:
        """One value between -1 and 1 per bin."""
        return super().forward(x).tanh()


class PhasePredictorSeparator(SpectralSeparator):
    """Magnitudes of the mixture with a predicted phase.

    The network's input is magnitudes alone, so the phase of the mixture does not matter. Takes the
    arguments of :class:`SoundConfig`.
    """

    Config = SoundConfig
    config: SoundConfig
    purpose = (
        "a phase for stems whose magnitudes are known: the frame transformer applied to angles"
    )
    documented_parameters = 357_493_618
    small_options = SMALL
    role = "phase"
    needs_float32 = True
    level = "peak"
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "dropout")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.in_channels
        self.fourier = PhaseFrontend(config.window_size, config.hop_size)
        self.network = PhasePredictor(*config.network_arguments)
