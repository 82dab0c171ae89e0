"""The parts of a frame transformer: up and down between two levels, and transformers inside one.

After https://github.com/carperbr/frame-transformer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.multichannel import (
    FrameNorm,
    MultichannelLinear,
    MultichannelMultiheadAttention,
    Planes,
    SquaredReLU,
)


class FrameResidual(nn.Module):
    """Other numbers of bins and channels: a residual block of multichannel linear layers.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        before: bins in.
        inside: bins between the two layers.
        after: bins out.
        dropout: share of the block's numbers that are left out in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        before: int,
        inside: int,
        after: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.identity = MultichannelLinear(
            in_channels, out_channels, before, after, positionwise=False
        )
        self.body = nn.Sequential(
            FrameNorm(before),
            MultichannelLinear(in_channels, out_channels, before, inside),
            nn.GELU(),
            MultichannelLinear(out_channels, out_channels, inside, after),
            nn.Dropout(dropout),
        )

    def forward(
        self, x: Float[Tensor, "batch channel_in freq_in frame"]
    ) -> Float[Tensor, "batch channel_out freq_out frame"]:
        """Transform every frame on its own."""
        return self.identity(x) + self.body(x)


class FrameEncoder(FrameResidual):
    """Fewer bins and more channels.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        features: bins in.
        downsample: whether half as many bins come out.
        dropout: share of the block's numbers that are left out in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        features: int,
        downsample: bool = True,
        dropout: float = 0.1,
    ) -> None:
        after = features // 2 if downsample else features
        super().__init__(in_channels, out_channels, features, 2 * features, after, dropout)


class FrameUpsampler(FrameResidual):
    """Twice as many bins and fewer channels: the way back of :class:`FrameEncoder`.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        features: bins out.
        dropout: share of the block's numbers that are left out in training.
    """

    def __init__(
        self, in_channels: int, out_channels: int, features: int, dropout: float = 0.1
    ) -> None:
        super().__init__(in_channels, out_channels, features // 2, 2 * features, features, dropout)


class FrameDecoder(nn.Module):
    """Twice as many bins and fewer channels, then what the encoder had at this level.

    Args:
        in_channels: channels in.
        out_channels: channels out, and of what the encoder had.
        features: bins out.
        dropout: share of the first block's numbers that are left out in training.
    """

    def __init__(
        self, in_channels: int, out_channels: int, features: int, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.upsampler = FrameUpsampler(in_channels, out_channels, features, dropout)
        self.merge = nn.Sequential(
            FrameNorm(features),
            MultichannelLinear(2 * out_channels, out_channels, features, 2 * features),
            nn.GELU(),
            MultichannelLinear(out_channels, out_channels, 2 * features, features, depthwise=False),
        )

    def forward(
        self,
        x: Float[Tensor, "batch channel_in freq_in frame"],
        skip: Float[Tensor, "batch channel freq frame"],
    ) -> Float[Tensor, "batch channel freq frame"]:
        """Transform every frame on its own."""
        x = self.upsampler(x)
        return x + self.merge(torch.cat([x, skip], dim=1))


class FrameTransformerEncoder(nn.Module):
    """Pre-norm transformer between frames, one per channel in parallel.

    Args:
        channels: channels in and out.
        features: bins of a channel.
        num_heads: attention heads of a channel.
        dropout: share of each residual's numbers that are left out in training.
        expansion: how much wider the feed-forward is inside.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        num_heads: int,
        dropout: float = 0.1,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        self.norm1 = FrameNorm(features)
        self.attn = MultichannelMultiheadAttention(channels, num_heads, features)
        self.mlp = _feed_forward(channels, features, expansion)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Planes) -> Planes:
        """Mix the frames of each channel, then transform each frame."""
        x = x + self.dropout(self.attn(self.norm1(x)))
        return x + self.dropout(self.mlp(x))


class FrameTransformerDecoder(nn.Module):
    """The same with a second attention, which asks what the encoder had at this level.

    Takes the arguments of :class:`FrameTransformerEncoder`.
    """

    def __init__(
        self,
        channels: int,
        features: int,
        num_heads: int,
        dropout: float = 0.1,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = FrameNorm(features), FrameNorm(features)
        self.attn1 = MultichannelMultiheadAttention(channels, num_heads, features)
        self.attn2 = MultichannelMultiheadAttention(channels, num_heads, features)
        self.mlp = _feed_forward(channels, features, expansion)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Planes, memory: Planes) -> Planes:
        """Mix the frames of ``x``, then of the memory (as it is), then transform each frame."""
        x = x + self.dropout(self.attn1(self.norm1(x)))
        x = x + self.dropout(self.attn2(self.norm2(x), memory))
        return x + self.dropout(self.mlp(x))


def _feed_forward(channels: int, features: int, expansion: int) -> nn.Sequential:
    wide = features * expansion
    return nn.Sequential(
        FrameNorm(features),
        MultichannelLinear(channels, channels, features, wide, depthwise=False),
        SquaredReLU(),
        MultichannelLinear(channels, channels, wide, features, depthwise=False),
    )
