"""Parts of the public RoFormers: bands to tokens, transformers with gated heads, tokens to masks.

The names of the layers are those of lucidrains' BS-RoFormer, so that its checkpoints fit:
https://github.com/lucidrains/BS-RoFormer. Rotary embedding: Su et al. 2021 (arXiv 2104.09864);
gates of heads: Bondarenko, Nagel and Blankevoort 2023 (arXiv 2306.12929).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.attention import Attention, Rotary, attention_weights

EXPANSION = 4
"""Width of the hidden layer of a feed-forward part, relative to a token."""

Tokens = Float[Tensor, "batch token feature"]
Bands = Float[Tensor, "batch frame band feature"]

Values = Float[Tensor, "batch frame value"]
"""Numbers of all bands: by bin, then channel, then real and imaginary part."""

Masks = Float[Tensor, "batch stem frame value"]


class LengthNorm(nn.Module):
    """Scale vectors to the length sqrt(dim), then each feature by a learned factor.

    This is :class:`~model_zoo.blocks.attention.RMSNorm`, but for silence: a vector shorter than
    1e-12 is divided by that, so that quiet bands are raised as far as loud ones.

    Args:
        dim: number of features.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))
        self.length = dim**0.5

    def forward(self, x: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Normalize the last axis."""
        return F.normalize(x, dim=-1) * (self.length * self.gamma)


class FeedForward(nn.Module):
    """Norm and two linear layers with a GELU between them, applied to each token.

    Args:
        dim: width of a token.
        dropout: dropout probability in training, after each layer.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            LengthNorm(dim),
            nn.Linear(dim, EXPANSION * dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(EXPANSION * dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tokens) -> Tokens:
        """Transform every token on its own."""
        return self.net(x)


class GatedAttention(Attention):
    """Norm and multi-head self-attention with rotated queries and keys and a gate for each head.

    A gate is a number from 0 to 1 that is computed from the token and scales what a head adds
    to it.

    Args:
        dim: width of a token.
        heads: attention heads.
        dim_head: width of a head, an even number.
        rotary: rotation of queries and keys; may be shared.
        dropout: dropout probability in training, of weights and of the output.
        bias: whether queries, keys, values and the output have a bias; gates always do.
    """

    def __init__(
        self, dim: int, heads: int, dim_head: int, rotary: Rotary, dropout: float, bias: bool
    ) -> None:
        super().__init__()
        inner = heads * dim_head
        self.heads, self.dropout = heads, dropout
        self.rotary = rotary
        self.norm = LengthNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * inner, bias=bias)
        self.to_gates = nn.Linear(dim, heads)
        self.to_out = nn.Sequential(nn.Linear(inner, dim, bias=bias), nn.Dropout(dropout))

    def forward(self, x: Tokens) -> Tokens:
        """Mix the tokens of each sequence."""
        x = self.norm(x)
        query, key, value = self._heads(x)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        gates = rearrange(self.to_gates(x).sigmoid(), "b n h -> b h n 1")
        return self.to_out(rearrange(mixed * gates, "b h n d -> b n (h d)"))

    def weights(self, x: Tokens) -> Float[Tensor, "batch head token token"]:
        """Attention weights between all tokens."""
        query, key, _ = self._heads(self.norm(x))
        return attention_weights(query, key)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, both rotated, and values of every head."""
        query, key, value = rearrange(
            self.to_qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads
        )
        return self.rotary(query), self.rotary(key), value


class GatedBlock(nn.ModuleList):
    """Gated attention and a feed-forward part, each added to its input.

    A list, because the parts have numbers in checkpoints.

    Args:
        attention: mixes the tokens of a sequence.
        feed_forward: transforms each token.
    """

    def __init__(self, attention: GatedAttention, feed_forward: FeedForward) -> None:
        super().__init__([attention, feed_forward])

    def forward(self, x: Tokens) -> Tokens:
        """Mix the tokens of each sequence, then transform each token."""
        attention, feed_forward = self
        x = x + attention(x)
        return x + feed_forward(x)


class GatedTransformer(nn.Module):
    """Blocks in a row and a norm.

    Args:
        blocks: attention and feed-forward parts.
        norm: applied to the output of the last block.
    """

    def __init__(self, blocks: Iterable[GatedBlock], norm: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(blocks)
        self.norm = norm

    def forward(self, x: Tokens) -> Tokens:
        """Transform sequences of tokens."""
        for block in self.layers:
            x = block(x)
        return self.norm(x)


class AxialLayer(nn.ModuleList):
    """A transformer over the frames of each band, and one over the bands of each frame.

    A list, because the parts have numbers in checkpoints.

    Args:
        along_time: transformer over frames.
        along_freq: transformer over bands.
    """

    def __init__(self, along_time: GatedTransformer, along_freq: GatedTransformer) -> None:
        super().__init__([along_time, along_freq])

    def forward(self, x: Bands) -> Bands:
        """Mix the frames, then the bands."""
        along_time, along_freq = self
        batch = x.shape[0]
        x = along_time(rearrange(x, "b t k d -> (b k) t d"))
        x = along_freq(rearrange(x, "(b k) t d -> (b t) k d", b=batch))
        return rearrange(x, "(b t) k d -> b t k d", b=batch)


class BandSplit(nn.Module):
    """A norm and a linear layer for each band: the values of its bins to one token.

    Args:
        widths: values of each band.
        dim: width of a token.
    """

    def __init__(self, widths: Sequence[int], dim: int) -> None:
        super().__init__()
        self.widths = [*widths]
        self.to_features = nn.ModuleList(
            nn.Sequential(LengthNorm(width), nn.Linear(width, dim)) for width in widths
        )

    def forward(self, x: Values) -> Bands:
        """A token for each band and frame."""
        parts = zip(self.to_features, torch.split(x, self.widths, dim=-1), strict=True)
        tokens = torch.stack([layers(part) for layers, part in parts], dim=-2)
        # All layers add to these tokens; in bfloat16, each sum would lose a little.
        return tokens.to(x.dtype)


class MaskEstimator(nn.Module):
    """An MLP for each band: tokens to the mask of one stem.

    The last layer gives two numbers for each value of the mask; the sigmoid of the second scales
    the first.

    Args:
        widths: values of each band.
        dim: width of a token.
        hidden: width of the hidden layers.
        layers: number of linear layers.
    """

    def __init__(self, widths: Sequence[int], dim: int, hidden: int, layers: int) -> None:
        super().__init__()
        hiddens = [hidden] * (layers - 1)
        self.to_freqs = nn.ModuleList(
            nn.Sequential(mlp([dim, *hiddens, 2 * width]), nn.GLU(dim=-1)) for width in widths
        )

    def forward(self, x: Bands) -> Values:
        """Values of the mask for all bands."""
        parts = zip(self.to_freqs, x.unbind(-2), strict=True)
        return torch.cat([layers(part) for layers, part in parts], dim=-1)


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers between these widths, with a Tanh between each two of them."""
    first, *others = pairwise(widths)
    layers = [part for pair in others for part in (nn.Tanh(), nn.Linear(*pair))]
    return nn.Sequential(nn.Linear(*first), *layers)


class BandSplitNetwork(nn.Module):
    """Values of the mixture's bands to masks of the stems.

    Args:
        band_split: values to tokens.
        layers: transformers along time and frequency.
        final_norm: normalizes the output of the last layer, or does nothing.
        mask_estimators: one for each stem.
        skip_connection: whether each layer gets the outputs of all layers before it.
    """

    def __init__(
        self,
        band_split: nn.Module,
        layers: nn.ModuleList,
        final_norm: nn.Module,
        mask_estimators: nn.ModuleList,
        skip_connection: bool,
    ) -> None:
        super().__init__()
        self.band_split, self.layers = band_split, layers
        self.final_norm, self.mask_estimators = final_norm, mask_estimators
        self.skip_connection = skip_connection

    def forward(self, features: Values) -> Masks:
        """Masks for all values, real and imaginary part."""
        x = self.band_split(features)
        skips: list[Tensor] = []
        for layer in self.layers:
            x = layer(sum(skips, x))
            if self.skip_connection:
                skips.append(x)
        x = self.final_norm(x)
        return torch.stack([estimator(x) for estimator in self.mask_estimators], dim=1)
