"""FrameTransformer and PhasePredictor: a U over the bins of frames, with attention over time.

The original divides the magnitudes of a song by the largest of them. Here the song is brought to a
peak of 1 before it is heard (``needs_peak_level``), and magnitudes are divided by that of a sine
with this peak: as good a level, and no pass over the spectrogram of the whole song.

After https://github.com/carperbr/frame-transformer, in the form in which it has 357,493,618
parameters. Every level has transformers between frames; from one level to the next the bins are
halved and the channels multiplied.

The original (https://github.com/carperbr/frame-transformer) compares a number between 0.5 and 1
with an angle between -1 and 1; here the network's range is that of the angle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.frame_attention import (
    FrameDecoder,
    FrameEncoder,
    FrameNorm,
    FrameTransformerDecoder,
    FrameTransformerEncoder,
    MultichannelLinear,
    MultichannelMultiheadAttention,
    Planes,
)
from model_zoo.config import broken
from model_zoo.ops.spectra import with_nyquist
from model_zoo.separator import (
    Documented,
    Sizes,
    Spectra,
    SpectralConfig,
    SpectralSeparator,
    Spectrum,
    parts_of,
)

FEWEST_BINS = 4
"""Bins of a head: of fewer the position could turn none."""


@dataclass(frozen=True)
class FrameConfig(SpectralConfig):
    """Arguments of all frame transformers.

    Attributes:
        in_channels: audio channels, 1 or 2.
        channels: of the network, times the multiplier of each level.
        expansion: how much wider the feed-forward of a transformer is inside.
        multipliers: of the channels, one for each level from the outermost inwards; every level
            but the first halves the bins.
        num_heads: attention heads of the levels; the last holds for all deeper ones, and further
            numbers than levels are not needed.
        dropout: share of numbers that are left out in training.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: in Hz.
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

    def _uneven(self) -> Iterator[str]:
        """Bins that cannot be halved, or dealt to heads."""
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


SMALL = {
    **{"channels": 2, "multipliers": (1, 2), "num_heads": (2,), "expansion": 2},
    **{"window_size": 64, "hop_size": 32, "sample_rate": 8000, "segment": 4096},
}


def heads_of(num_heads: tuple[int, ...], levels: int) -> list[int]:
    """Heads of every level: the last number holds for all deeper ones."""
    return [*num_heads, *[num_heads[-1]] * levels][:levels]


class FrameSeparator(SpectralSeparator):
    """Base of the frame transformers; a subclass builds :attr:`network`."""

    Config: ClassVar[type[FrameConfig]]
    needs_peak_level = True
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "dropout")
    network: nn.Module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels = self.config.in_channels

    @property
    def core(self) -> nn.Module:
        """From magnitudes between -1 and 1 to the network's numbers."""
        return self.network

    def blocks(self) -> Iterator[nn.Module]:
        """The levels' parts one by one."""
        yield from parts_of(self.network)

    @property
    def full_scale(self) -> Float[Tensor, ""]:
        """Magnitude that a sine with a peak of 1 has."""
        return self.fourier.window.sum() / 2

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch channel freq_seen frame"]:
        """Magnitudes between -1 (silence) and 1 (a sine at full scale), without Nyquist."""
        shares = (spectrum[..., :-1, :].abs() / self.full_scale).clamp(0, 1)
        return 2 * shares - 1

    @property
    def arguments(self) -> dict[str, Any]:
        """What every network here is built from."""
        config = self.config
        return {
            "in_channels": config.in_channels,
            "channels": config.channels,
            "n_fft": config.window_size,
            "expansion": config.expansion,
            "multipliers": config.multipliers,
            "num_heads": config.num_heads,
            "dropout": config.dropout,
        }


@dataclass(frozen=True)
class SoundConfig(FrameConfig):
    """Arguments of networks that give the same sound again."""

    stems: tuple[str, ...] = field(default=("sound",), kw_only=True)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        return super().mistakes() + broken(
            {"stems must name one sound: the network gives back what it hears": len(self.stems) > 1}
        )


__all__ = [
    "FrameDecoder",
    "FrameDescent",
    "FrameEncoder",
    "FrameNorm",
    "FrameTransformer",
    "FrameTransformerConfig",
    "FrameTransformerDecoder",
    "FrameTransformerEncoder",
    "FrameTransformerSeparator",
    "LevelSize",
    "MultichannelLinear",
    "MultichannelMultiheadAttention",
    "mix",
]


class LevelSize(NamedTuple):
    """Sizes of one level of the U."""

    channels: int
    features: int
    num_heads: int


class FrameDescent(nn.Module):
    """The way down: encoders and transformers, level by level.

    Args:
        in_channels: channels in.
        channels: of the network, times the multiplier of each level.
        n_fft: STFT window in samples; half as many bins come in.
        expansion: how much wider the feed-forward of a transformer is inside.
        multipliers: of the channels, one per level.
        num_heads: of the levels; the last holds for all deeper ones.
        dropout: share of numbers that are left out in training.
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
        """What every level makes of what the one above made."""
        made: list[Tensor] = []
        for encoder, transformer in zip(self.encoders, self.transformers, strict=True):
            x = transformer(encoder(x))
            made.append(x)
        return made


class FrameTransformer(FrameDescent):
    """The whole U: down, up again beside what the way down made, and a mix of the channels.

    Magnitudes between -1 and 1 come in. What comes out is linear: who wants a mask takes the
    sigmoid of it. Takes the arguments of :class:`FrameDescent` and one more:

    Args:
        out_channels: channels out; 0 for as many as come in.
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
        """One number per bin and channel."""
        *skips, x = self.descend(x)
        levels = zip(self.decoders, self.decoder_transformers, reversed(skips), strict=True)
        for decoder, transformer, skip in levels:
            x = transformer(decoder(x, skip), skip)
        return self.out(x)


def mix(level: LevelSize, out_channels: int) -> MultichannelLinear:
    """The last layer, from the channels of the outermost level to those that come out."""
    bins = level.features
    return MultichannelLinear(level.channels, out_channels, bins, bins, positionwise=False)


@dataclass(frozen=True)
class FrameTransformerConfig(FrameConfig):
    """Arguments of :class:`FrameTransformerSeparator`: those of all frame transformers."""

    stems: tuple[str, ...] = field(default=("instrumental",), kw_only=True)


class FrameTransformerSeparator(FrameSeparator):
    """Masks of the mixture's magnitudes, from transformers over whole frames.

    Takes the arguments of :class:`FrameTransformerConfig`.
    """

    Config = FrameTransformerConfig
    purpose = "accompaniments from much data: a very large U with transformers over whole frames"
    sizes = Sizes(
        small=SMALL,
        several={"stems": ("vocals", "drums", "bass")},
        documented=(
            Documented(357_493_618, (2, 4, 4, (1, 2, 4, 6, 12, 24), (16, 8, 4, 4, 4, 4))),
            Documented(353_026_426, (2, 4, 4, (1, 2, 4, 6, 8, 10), (4,))),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        masks = len(self.stems) * self.channels
        self.network = FrameTransformer(**self.arguments, out_channels=masks)

    @property
    def keeps_shape(self) -> bool:
        """With the masks of one stem it does."""
        return len(self.stems) == 1

    def answer(
        self, spectrum: Spectrum, numbers: Float[Tensor, "batch number freq_seen frame"]
    ) -> Spectra:
        """The mixture, each bin as loud as the mask says; nothing at Nyquist."""
        masks = rearrange(numbers.sigmoid(), "b (s c) f t -> b s c f t", s=len(self.stems))
        return spectrum.unsqueeze(1) * with_nyquist(masks)


class PhasePredictor(FrameTransformer):
    """Angles, divided by pi, from magnitudes between -1 and 1.

    Takes the arguments of :class:`~model_zoo.architectures.frame_transformer.FrameTransformer`.
    """

    def forward(
        self, x: Float[Tensor, "batch channel freq frame"]
    ) -> Float[Tensor, "batch channel freq frame"]:
        """One number between -1 and 1 per bin."""
        return super().forward(x).tanh()


class PhasePredictorSeparator(FrameSeparator):
    """The same magnitudes with another phase.

    The network sees magnitudes only, so what it hears may have any phase. The highest bin, which it
    does not see, keeps its own, and so does the lowest: both are real numbers, which are lost where
    they are turned. Takes the arguments of
    :class:`~model_zoo.architectures.frame_transformer.SoundConfig`.
    """

    Config = SoundConfig
    purpose = "a phase for stems whose magnitudes are known: the frame transformer for angles"
    role = "phase"
    needs_float32 = True
    sizes = Sizes(
        small=SMALL,
        several={"in_channels": 1},
        documented=(Documented(357_493_618),),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.network = PhasePredictor(**self.arguments)

    def answer(
        self, spectrum: Spectrum, numbers: Float[Tensor, "batch channel freq_seen frame"]
    ) -> Spectra:
        """The spectrum's magnitudes with the predicted angles, but for the lowest bin."""
        lowest, seen, highest = spectrum.tensor_split((1, -1), dim=-2)
        turned = torch.polar(seen.abs(), math.pi * numbers[..., 1:, :].float())
        return torch.cat([lowest, turned, highest], dim=-2).unsqueeze(1)
