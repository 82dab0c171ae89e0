"""FrameTransformer: a U of linear layers over the bins of each frame, with transformers over time.

After https://github.com/carperbr/frame-transformer, in the form in which it has 357,493,618
parameters. Every level has transformers between frames; from one level to the next the bins are
halved and the channels multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.frame_spectral import (
    SMALL,
    FrameConfig,
    FrameSeparator,
    heads_of,
)
from model_zoo.architectures.spectral import Spectra, Spectrum
from model_zoo.blocks.frames import (
    FrameDecoder,
    FrameEncoder,
    FrameTransformerDecoder,
    FrameTransformerEncoder,
)
from model_zoo.blocks.multichannel import (
    FrameNorm,
    MultichannelLinear,
    MultichannelMultiheadAttention,
    Planes,
)
from model_zoo.ops.stft import with_nyquist
from model_zoo.separator import Documented, Sizes

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
    "Level",
    "MultichannelLinear",
    "MultichannelMultiheadAttention",
    "mix",
]


class Level(NamedTuple):
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
            Level(channels * multiplier, n_fft // 2 ** (depth + 1), count)
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


def mix(level: Level, out_channels: int) -> MultichannelLinear:
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
