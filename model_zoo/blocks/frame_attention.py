"""Blocks of the frame transformers: multichannel layers, resampling, and attention over frames.

A frame of a channel is one token whose features are the bins. The blocks are those of
https://github.com/carperbr/frame-transformer, with axes ``batch channel freq frame`` throughout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.attention import Attention, attention_weights
from model_zoo.errors import ConfigError
from model_zoo.ops.tensors import full_precision, rotate_pairs

Planes = Float[Tensor, "batch channel freq frame"]
Heads = Float[Tensor, "batch head frame feature"]


class MultichannelLinear(nn.Module):
    """One linear layer per channel over the bins of each frame, then a mix of the channels.

    Without bias. A step that changes a size is never left out.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        in_features: input bins.
        out_features: output bins.
        positionwise: whether every channel transforms its bins.
        depthwise: whether the channels are mixed.
    """

    weight_pw: nn.Parameter | None
    weight_dw: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        in_features: int,
        out_features: int,
        positionwise: bool = True,
        depthwise: bool = True,
    ) -> None:
        super().__init__()
        has_pw = positionwise or in_features != out_features
        has_dw = depthwise or in_channels != out_channels
        pw = _uniform(in_channels, out_features, in_features) if has_pw else None
        self.register_parameter("weight_pw", pw)
        self.register_parameter(
            "weight_dw", _uniform(out_channels, in_channels) if has_dw else None
        )

    def forward(
        self, x: Float[Tensor, "batch channel_in freq_in frame"]
    ) -> Float[Tensor, "batch channel_out freq_out frame"]:
        """Transform every frame of every channel."""
        if self.weight_pw is not None:
            x = einsum(self.weight_pw, x, "c g f, b c f t -> b c g t")
        if self.weight_dw is not None:
            x = einsum(self.weight_dw, x, "d c, b c f t -> b d f t")
        return x


def _uniform(*shape: int) -> nn.Parameter:
    """Uniform weights within ``1 / sqrt(n)`` of zero for layers with n inputs."""
    bound = shape[-1] ** -0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


class FrameNorm(nn.Module):
    """Layer normalization of the bins of each frame of each channel.

    Args:
        features: number of bins; all channels share their gains and offsets.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x: Planes) -> Planes:
        """Normalize every frame to mean 0 and variance 1, then scale and shift each bin."""
        return self.norm(x.transpose(-1, -2)).transpose(-1, -2)


class SquaredReLU(nn.Module):
    """``max(x, 0)`` squared (So et al. 2021, arXiv 2109.08668)."""

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Apply to every element."""
        return F.relu(x).square()


class LearnedRotary(nn.Module):
    """Rotary position embedding of the first features of each head, with learned rates.

    Args:
        dim: number of features to rotate, in pairs; of an odd number the last is not rotated.
        base: base of the initial rates, ``base ** (-2i / dim)`` in radians per frame.
    """

    def __init__(self, dim: int, base: float = 10000.0) -> None:
        super().__init__()
        exponents = torch.arange(0, 2 * (dim // 2), 2) / max(dim, 1)
        self.freqs = nn.Parameter(base**-exponents)

    def forward(self, x: Heads) -> Heads:
        """Rotate by position, so that products depend only on the distance between two frames."""
        positions = torch.arange(x.shape[-2], device=x.device)
        angles = torch.outer(positions, self.freqs)
        turning = 2 * len(self.freqs)
        turned = rotate_pairs(x[..., :turning], angles.cos(), angles.sin())
        return torch.cat([turned, x[..., turning:]], dim=-1)


class MultichannelMultiheadAttention(Attention):
    """Attention over frames, in each channel on its own.

    Queries, keys and values are smoothed by a learned filter of 9 frames (So et al. 2021, arXiv
    2109.08668). Queries and keys are rotated, then normalized (Henry et al. 2020, arXiv
    2010.04245), so that with gains of 1 no score exceeds ``features / num_heads`` before it is
    divided by ``sqrt(features)``. Rotation comes first, as in the original. The mean that the
    normalization subtracts depends on the rotation, so scores depend on the distance between two
    frames only approximately.

    Args:
        channels: number of channels.
        num_heads: heads that share the bins of a channel in adjacent groups.
        features: bins of a channel.

    Raises:
        ConfigError: the bins cannot be shared evenly.
    """

    SPAN = 9
    """Frames covered by a filter."""

    def __init__(self, channels: int, num_heads: int, features: int) -> None:
        super().__init__()
        if features % num_heads:
            mistake = f"features={features} must be a multiple of num_heads={num_heads}"
            raise ConfigError(type(self).__name__, [mistake])
        dim = features // num_heads
        self.num_heads, self.scale = num_heads, features**-0.5
        self.rotary_embedding = LearnedRotary(dim // 2)
        self.q_proj, self.k_proj, self.v_proj = (
            self._projection(channels, features) for _ in range(3)
        )
        self.q_norm, self.k_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.out_proj = MultichannelLinear(channels, channels, features, features, depthwise=False)

    def _projection(self, channels: int, features: int) -> nn.Sequential:
        return nn.Sequential(
            MultichannelLinear(channels, channels, features, features, depthwise=False),
            nn.Conv2d(
                channels,
                channels,
                (1, self.SPAN),
                padding=(0, self.SPAN // 2),
                groups=channels,
                bias=False,
            ),
        )

    def forward(
        self, x: Planes, memory: Float[Tensor, "batch channel freq frame_key"] | None = None
    ) -> Planes:
        """Attend from each frame of ``x`` to the frames of ``memory``, or of ``x`` itself."""
        query, key, value = self._heads(x, memory)
        # Half precision is too coarse for sums over all frames of a song.
        with full_precision(x):
            mixed = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        channels = x.shape[1]
        return self.out_proj(rearrange(mixed, "b (c h) t d -> b c (h d) t", c=channels))

    def weights(
        self, x: Planes, memory: Float[Tensor, "batch channel freq frame_key"] | None = None
    ) -> Float[Tensor, "batch head frame frame_key"]:
        """Attention weights of frames (rows) over frames (columns); rows add up to 1.

        The heads of the first channel come first. :meth:`forward` never computes this matrix.
        """
        query, key, _ = self._heads(x, memory)
        with full_precision(x):
            return attention_weights(query, key, scale=self.scale)

    def _heads(self, x: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, rotated and normalized, and values, all in float32."""
        memory = x if memory is None else memory
        query, key = self._split(self.q_proj(x)), self._split(self.k_proj(memory))
        query = self.q_norm(self.rotary_embedding(query))
        key = self.k_norm(self.rotary_embedding(key))
        return query, key, self._split(self.v_proj(memory))

    def _split(self, x: Planes) -> Heads:
        return rearrange(x.float(), "b c (h d) t -> b (c h) t d", h=self.num_heads)


class FrameResidual(nn.Module):
    """Residual block of multichannel linear layers that changes numbers of bins and channels.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        before: input bins.
        inside: bins between the two layers.
        after: output bins.
        dropout: dropout probability of the block in training.
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
    """Encoder level: fewer bins and more channels.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        features: input bins.
        downsample: whether the output has half as many bins.
        dropout: dropout probability of the block in training.
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
    """Twice as many bins and fewer channels: the reverse of :class:`FrameEncoder`.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        features: output bins.
        dropout: dropout probability of the block in training.
    """

    def __init__(
        self, in_channels: int, out_channels: int, features: int, dropout: float = 0.1
    ) -> None:
        super().__init__(in_channels, out_channels, features // 2, 2 * features, features, dropout)


class FrameDecoder(nn.Module):
    """Decoder level: twice as many bins and fewer channels, merged with a skip connection.

    Args:
        in_channels: input channels.
        out_channels: output channels, and those of the skip connection.
        features: output bins.
        dropout: dropout probability of the first block in training.
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
    """Pre-norm transformer block over frames, one per channel in parallel.

    Args:
        channels: number of channels.
        features: bins of a channel.
        num_heads: attention heads of a channel.
        dropout: dropout probability of each residual in training.
        expansion: width factor inside the feed-forward part.
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
    """Pre-norm transformer block over frames with a second attention to the skip connection.

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
        """Mix the frames of ``x``, then attend to ``memory``, then transform each frame."""
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
