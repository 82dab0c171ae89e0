"""Transformer blocks with rotary position embedding, and normalization layers.

Rotary embedding: Su et al. 2021 (arXiv 2104.09864); attention registers: Darcet et al. 2023
(arXiv 2309.16588); gated feed-forward: Shazeer 2020 (arXiv 2002.05202).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from model_zoo.ops.tensors import rotate_pairs


class RMSNorm(nn.Module):
    """Divide by the root mean square of the features, then scale each (arXiv 1910.07467, eq. 4).

    Args:
        dim: number of features.
        eps: added to the mean square to avoid division by zero.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Normalize the last axis."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.scale


Regions = Int[Tensor, "batch token 1"]
"""Index of the region that each token belongs to."""


class Rotary(nn.Module):
    """Rotate pairs of features (2i, 2i+1) by an angle that grows with the position.

    Query and key products then depend only on the distance between two positions. The table of
    angles is not saved, and is extended for longer sequences.

    Args:
        dim: features of one head; even.
        length: positions to prepare for.
        base: base of the rotation rates ``base ** (-2i / dim)``, in radians per position.
    """

    table: Tensor

    def __init__(self, dim: int, length: int, base: int = 10000) -> None:
        super().__init__()
        self.dim, self.base = dim, base
        self.register_buffer("table", self._angles(length), persistent=False)

    def _angles(self, length: int) -> Float[Tensor, "token pair 2"]:
        if torch.get_default_device().type == "meta":  # PyTorch would load its compiler for these
            return torch.empty(length, self.dim // 2, 2)
        rates = self.base ** (-torch.arange(0, self.dim, 2) / self.dim)
        angles = torch.outer(torch.arange(length), rates)
        return torch.stack([angles.cos(), angles.sin()], dim=-1)

    def forward(
        self, x: Float[Tensor, "batch head token feature"]
    ) -> Float[Tensor, "batch head token feature"]:
        """Rotate every head by the position of its token."""
        cos, sin = self._first(x.shape[-2]).to(x.dtype).unbind(-1)
        return rotate_pairs(x, cos, sin)

    def _first(self, length: int) -> Float[Tensor, "token pair 2"]:
        """First rows of the table; safe for threads that share a network and extend it."""
        table = self.table
        if length > table.shape[0]:
            # A table created in inference mode could not be used in training.
            with torch.inference_mode(mode=False):
                table = self.table = self._angles(length).to(table)
        return table[:length]


class MLP(nn.Module):
    """Gated feed-forward (SwiGLU) without bias.

    Args:
        n_embd: width of a token; the hidden layer has 8/3 of it.
    """

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        hidden = 8 * n_embd // 3
        self.c_fc1 = nn.Linear(n_embd, hidden, bias=False)
        self.c_fc2 = nn.Linear(n_embd, hidden, bias=False)
        self.c_proj = nn.Linear(hidden, n_embd, bias=False)

    def forward(self, x: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Transform every position on its own."""
        return self.c_proj(F.silu(self.c_fc1(x)) * self.c_fc2(x))


class Attention(nn.Module):
    """Base of all attention modules; their weights can be computed for display.

    Arguments of ``forward`` with as many axes as the first have one entry for each of its
    sequences; all others (a mask, a number) hold for every sequence.
    """

    def weights(self, *inputs: Any, **options: Any) -> Float[Tensor, "batch head query key"]:
        """Attention weights of queries (rows) over keys (columns); rows add up to 1.

        Takes the arguments of ``forward``, which never computes this matrix: its size grows with
        the square of the number of tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} must say what it attends to")


class MultiHeadAttention(Attention):
    """Layers of multi-head self-attention; subclasses implement ``forward`` with their masks.

    Args:
        n_embd: width of a token.
        n_head: attention heads; must divide ``n_embd``.
        bias: whether the last layer has a bias; queries, keys and values have none.
    """

    def __init__(self, n_embd: int, n_head: int, bias: bool = False) -> None:
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.c_proj = nn.Linear(n_embd, n_embd, bias=bias)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of every head."""
        heads = rearrange(
            self.c_attn(x), "b n (three h d) -> three b h n d", three=3, h=self.n_head
        )
        return heads[0], heads[1], heads[2]

    def _mixed(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Weighted values of all heads, projected."""
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.c_proj(rearrange(mixed, "b h n d -> b n (h d)"))


class SelfAttention(MultiHeadAttention):
    """Multi-head self-attention over rotated queries and keys, without bias or dropout.

    Takes the arguments of :class:`RoFormerBlock`.
    """

    def __init__(self, n_embd: int, n_head: int, max_seq_len: int, rope_base: int) -> None:
        super().__init__(n_embd, n_head)
        self.rotary = Rotary(n_embd // n_head, max_seq_len, rope_base)

    def forward(
        self,
        x: Float[Tensor, "batch token feature"],
        mask: Bool[Tensor, "token token"] | None = None,
        registers: int = 0,
    ) -> Float[Tensor, "batch token feature"]:
        """Attend where ``mask`` is True (everywhere without one).

        The first ``registers`` tokens have no position and are not rotated.
        """
        return self._mixed(*self._heads(x, registers), mask)

    def weights(
        self,
        x: Float[Tensor, "batch token feature"],
        mask: Bool[Tensor, "token token"] | None = None,
        registers: int = 0,
    ) -> Float[Tensor, "batch head token token"]:
        """Attention weights between all tokens."""
        query, key, _ = self._heads(x, registers)
        return attention_weights(query, key, mask)

    def _heads(self, x: Tensor, registers: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, both rotated, and values."""
        query, key, value = self._split(x)
        return self._rotate(query, registers), self._rotate(key, registers), value

    def _rotate(self, x: Tensor, registers: int) -> Tensor:
        if not registers:
            return self.rotary(x)
        return torch.cat([x[..., :registers, :], self.rotary(x[..., registers:, :])], dim=-2)


class RegionAttention(MultiHeadAttention):
    """Multi-head self-attention without positions; the last layer has a bias.

    Args:
        n_embd: width of a token.
        n_head: attention heads; must divide ``n_embd``.
    """

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__(n_embd, n_head, bias=True)

    def forward(
        self, x: Float[Tensor, "batch token feature"], regions: Regions | None = None
    ) -> Float[Tensor, "batch token feature"]:
        """Attend within each region, or to all tokens without regions."""
        return self._mixed(*self._split(x), _same(regions))

    def weights(
        self, x: Float[Tensor, "batch token feature"], regions: Regions | None = None
    ) -> Float[Tensor, "batch head token token"]:
        """Attention weights between all tokens."""
        query, key, _ = self._split(x)
        return attention_weights(query, key, _same(regions))


def attention_weights(
    query: Float[Tensor, "batch head query feature"],
    key: Float[Tensor, "batch head key feature"],
    mask: Bool[Tensor, "*all query key"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "batch head query key"]:
    """Weights of scaled dot-product attention (arXiv 1706.03762, eq. 1).

    Args:
        query: queries of every head.
        key: keys of every head.
        mask: True where a query may attend; everywhere without one.
        scale: factor of the products; by default one over the root of the number of features.
    """
    scores = query @ key.transpose(-1, -2) * (scale or query.shape[-1] ** -0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1)


def _same(regions: Tensor | None) -> Bool[Tensor, "batch 1 token token"] | None:
    return None if regions is None else (regions == regions.mT)[:, None]


class RoFormerBlock(nn.Module):
    """Pre-norm transformer block with rotary position embedding.

    Args:
        n_embd: width of a token.
        n_head: attention heads; must divide ``n_embd``.
        max_seq_len: positions to prepare for; longer sequences extend the table.
        rope_base: base of the rotation rates; a larger base rotates more slowly.
    """

    def __init__(self, n_embd: int, n_head: int, max_seq_len: int, rope_base: int = 10000) -> None:
        super().__init__()
        self.att_norm = RMSNorm(n_embd)
        self.att = SelfAttention(n_embd, n_head, max_seq_len, rope_base)
        self.ffn_norm = RMSNorm(n_embd)
        self.mlp = MLP(n_embd)

    def forward(
        self, x: Float[Tensor, "batch token feature"]
    ) -> Float[Tensor, "batch token feature"]:
        """Mix the tokens of each sequence, then transform each token."""
        x = x + self.att(self.att_norm(x))
        return x + self.mlp(self.ffn_norm(x))


class AttentionRegisterRoFormerBlock(RoFormerBlock):
    """RoFormer block with learned register tokens and an optional sliding window.

    Registers attend to all tokens and all tokens to them, and they have no position. Other tokens
    attend to those within ``window_size // 2``. With both options off this is exactly
    :class:`RoFormerBlock`.

    Args:
        n_embd: width of a token.
        n_head: attention heads.
        max_seq_len: positions to prepare for.
        rope_base: base of the rotation rates.
        num_register_tokens: learned tokens that are prepended and removed from the output.
        window_size: width of the sliding window in tokens; -1 is full attention.
    """

    def __init__(
        self,
        n_embd: int,
        n_head: int,
        max_seq_len: int,
        rope_base: int = 10000,
        num_register_tokens: int = 0,
        window_size: int = -1,
    ) -> None:
        super().__init__(n_embd, n_head, max_seq_len, rope_base)
        self.num_register_tokens = num_register_tokens
        self.window_size = window_size
        if num_register_tokens:
            self.registers = nn.Parameter(0.02 * torch.randn(num_register_tokens, n_embd))

    def forward(
        self, x: Float[Tensor, "batch token feature"]
    ) -> Float[Tensor, "batch token feature"]:
        """Mix tokens and registers; the output has no registers."""
        count = self.num_register_tokens
        if count:
            x = torch.cat([self.registers.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.att(self.att_norm(x), self._mask(x), registers=count)
        x = x + self.mlp(self.ffn_norm(x))
        return x[:, count:]

    def _mask(self, x: Tensor) -> Bool[Tensor, "token token"] | None:
        if self.window_size < 0:
            return None
        count = self.num_register_tokens
        position = torch.arange(x.shape[1], device=x.device) - count
        near = (position[:, None] - position[None, :]).abs() <= self.window_size // 2
        is_register = position < 0
        return near | is_register[:, None] | is_register[None, :]
