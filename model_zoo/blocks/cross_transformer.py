"""Transformer over two sequences: attention within each and from each to the other, in turn.

Rouard, Massa and Défossez 2023, Hybrid Transformers for Music Source Separation (arXiv 2211.08553).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.dconv import LayerScale

Tokens = Float[Tensor, "batch token feature"]
OtherTokens = Float[Tensor, "batch other_token feature"]
Plane = Float[Tensor, "batch feature freq frame"]
Line = Float[Tensor, "batch feature time"]

LONGEST_PERIOD = 10_000.0
"""Positions after which the slowest sine has turned by 1 radian."""

INITIAL_SCALE = 1e-4
"""Scale of each residual branch before training."""


def line_embedding(
    length: int, features: int, device: torch.device
) -> Float[Tensor, "time feature"]:
    """Cosines, then sines, of each position; the last pair has the longest period.

    Vaswani et al. 2017, Attention Is All You Need (arXiv 1706.03762), section 3.5.
    """
    half = features // 2
    rates = LONGEST_PERIOD ** -(torch.arange(half, device=device) / (half - 1))
    phases = torch.arange(length, device=device)[:, None] * rates
    return torch.cat([phases.cos(), phases.sin()], dim=-1)


def plane_embedding(
    bins: int, frames: int, features: int, device: torch.device
) -> Float[Tensor, "frame freq feature"]:
    """Sines and cosines of the frame in the first half of the features, of the bin in the second.

    Wang and Liu 2019, Translating Math Formula Images to LaTeX Sequences Using Deep Neural Networks
    with Sequence-level Training (arXiv 1908.11415).
    """
    half = features // 2
    rates = torch.exp(torch.arange(0, half, 2, device=device) * (-math.log(LONGEST_PERIOD) / half))

    def waves(positions: int) -> Float[Tensor, "position half"]:
        phases = torch.arange(positions, device=device)[:, None] * rates
        return torch.stack([phases.sin(), phases.cos()], dim=-1).flatten(1)

    of_frames = waves(frames)[:, None].expand(-1, bins, -1)
    of_bins = waves(bins).expand(frames, -1, -1)
    return torch.cat([of_frames, of_bins], dim=-1)


class SequenceNorm(nn.GroupNorm):
    """Normalization over all tokens and features of a sequence.

    Args:
        features: number of features.
    """

    def __init__(self, features: int) -> None:
        super().__init__(1, features)

    def forward(self, input: Tokens) -> Tokens:
        """The normalized sequence."""
        return super().forward(input.mT).mT


class PackedAttention(nn.Module):
    """Scaled dot-product attention, with one packed weight for queries, keys and values.

    Tensors have the names of ``torch.nn.MultiheadAttention``, whose inference path writes the
    scores of all heads to memory, which the fused kernel used here does not.

    Vaswani et al. 2017, Attention Is All You Need (arXiv 1706.03762), section 3.2.

    Args:
        features: width of a token.
        heads: attention heads.
        dropout: dropout probability of attention weights in training.
    """

    def __init__(self, features: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * features, features))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * features))
        self.out_proj = nn.Linear(features, features)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tokens, other: OtherTokens) -> Tokens:
        """Content of ``other`` for every token of ``x``; the two may be one sequence."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            rearrange(F.linear(tokens, *projection), "b t (h c) -> b h t c", h=self.heads)
            for tokens, *projection in zip((x, other, other), weights, biases, strict=True)
        )
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.out_proj(rearrange(mixed, "b h t c -> b t (h c)"))


class SelfAttentionLayer(nn.Module):
    """Transformer layer with normalization before each branch and after the layer.

    Args:
        features: width of a token.
        heads: attention heads.
        hidden: width inside the feedforward branch.
        dropout: dropout probability in training.
    """

    def __init__(self, features: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = PackedAttention(features, heads, dropout)
        self.linear1 = nn.Linear(features, hidden)
        self.linear2 = nn.Linear(hidden, features)
        self.norm1 = nn.LayerNorm(features)
        self.norm2 = nn.LayerNorm(features)
        self.norm_out = SequenceNorm(features)
        self.gamma_1 = LayerScale(features, INITIAL_SCALE, features_last=True)
        self.gamma_2 = LayerScale(features, INITIAL_SCALE, features_last=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tokens) -> Tokens:
        """Transform a sequence."""
        normed = self.norm1(x)
        attended = self.self_attn(normed, normed)
        x = x + self.gamma_1(self.dropout(attended))
        hidden = self.dropout(F.gelu(self.linear1(self.norm2(x))))
        return self.norm_out(x + self.gamma_2(self.dropout(self.linear2(hidden))))


class CrossAttentionLayer(nn.Module):
    """Transformer layer whose queries come from one sequence, keys and values from another.

    Args:
        features: width of a token.
        heads: attention heads.
        hidden: width inside the feedforward branch.
        dropout: dropout probability in training.
    """

    def __init__(self, features: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.cross_attn = PackedAttention(features, heads, dropout)
        self.linear1 = nn.Linear(features, hidden)
        self.linear2 = nn.Linear(hidden, features)
        self.norm1 = nn.LayerNorm(features)
        self.norm2 = nn.LayerNorm(features)
        self.norm3 = nn.LayerNorm(features)
        self.norm_out = SequenceNorm(features)
        self.gamma_1 = LayerScale(features, INITIAL_SCALE, features_last=True)
        self.gamma_2 = LayerScale(features, INITIAL_SCALE, features_last=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tokens, other: OtherTokens) -> Tokens:
        """Transform ``x`` by what it finds in ``other``."""
        attended = self.cross_attn(self.norm1(x), self.norm2(other))
        x = x + self.gamma_1(self.dropout(attended))
        hidden = self.dropout(F.gelu(self.linear1(self.norm3(x))))
        return self.norm_out(x + self.gamma_2(self.dropout(self.linear2(hidden))))


class CrossTransformer(nn.Module):
    """Layers over the tokens of a plane and of a line; every second one attends to the other's.

    Args:
        features: width of a token.
        layers: layers of each of the two.
        heads: attention heads.
        hidden: width inside the feedforward branches.
        dropout: dropout probability in training.
    """

    def __init__(self, features: int, layers: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        kinds = [CrossAttentionLayer if i % 2 else SelfAttentionLayer for i in range(layers)]
        sizes = (features, heads, hidden, dropout)
        self.norm_in = nn.LayerNorm(features)
        self.norm_in_t = nn.LayerNorm(features)
        self.layers = nn.ModuleList(kind(*sizes) for kind in kinds)
        self.layers_t = nn.ModuleList(kind(*sizes) for kind in kinds)

    def forward(self, plane: Plane, line: Line) -> tuple[Plane, Line]:
        """Transform both; their shapes do not change."""
        features, bins, frames = plane.shape[1:]
        x = self.norm_in(rearrange(plane, "b c f t -> b (t f) c"))
        x = x + plane_embedding(bins, frames, features, x.device).flatten(0, 1)
        line_tokens = self.norm_in_t(line.mT)
        xt = line_tokens + line_embedding(line.shape[-1], features, x.device)
        for layer, layer_t in zip(self.layers, self.layers_t, strict=True):
            if isinstance(layer, CrossAttentionLayer):
                x, xt = layer(x, xt), layer_t(xt, x)
            else:
                x, xt = layer(x), layer_t(xt)
        return rearrange(x, "b (t f) c -> b c f t", f=bins), xt.mT
