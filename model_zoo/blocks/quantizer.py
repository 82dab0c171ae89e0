"""Vector quantization: frames are replaced by the nearest entry of a learned codebook.

van den Oord, Vinyals and Kavukcuoglu 2017, Neural Discrete Representation Learning (arXiv
1711.00937). Codes that are never the nearest get no gradient; here they are moved onto data.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from model_zoo.blocks.frame_attention import Planes
from model_zoo.ops.tensors import full_precision, full_tensor, split_like

MEMORY = 0.99
"""Decay per step of the moving average of how often codes are used."""


class Usage(NamedTuple):
    """Statistics of the use of a codebook.

    Attributes:
        codes: number of codes that were the nearest at least once in the last ``patience`` steps.
        perplexity: number of equally frequent codes with the same entropy.
    """

    codes: int
    perplexity: float


class Quantized(NamedTuple):
    """Result of quantization.

    Attributes:
        quantized: frames, each replaced by a code.
        losses: ``codebook`` moves codes towards frames, ``commitment`` frames towards codes.
        indices: indices of the codes.
    """

    quantized: Planes
    losses: dict[str, Float[Tensor, ""]]
    indices: Int[Tensor, "batch frame"]


class FrameQuantizer(nn.Module):
    """Vector quantizer with one code per frame, for the bins of all its channels.

    In training (with gradients), a code that has not been the nearest for ``patience`` steps is
    replaced by a random frame of the batch. A step may have several forward passes; :meth:`settle`
    ends it. Processes that train together add up their counts and share the replacements of the
    first.

    Args:
        channels: channels of a frame.
        features: bins of a channel.
        num_embeddings: number of codes.
        beta: weight of the commitment loss.
        patience: steps after which an unused code is replaced.
    """

    share: Tensor
    idle: Tensor
    counts: Tensor

    def __init__(
        self,
        channels: int,
        features: int,
        num_embeddings: int = 2048,
        beta: float = 0.25,
        patience: int = 100,
    ) -> None:
        super().__init__()
        self.beta, self.patience = beta, patience
        self.embedding = nn.Embedding(num_embeddings, channels * features)
        nn.init.uniform_(self.embedding.weight, -1 / num_embeddings, 1 / num_embeddings)
        self.register_buffer("share", torch.zeros(num_embeddings))
        self.register_buffer("idle", torch.zeros(num_embeddings, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(num_embeddings), persistent=False)

    def forward(self, x: Planes) -> Quantized:
        """Replace every frame by its nearest code, with straight-through gradients."""
        channels, frames = x.shape[1], x.shape[-1]
        is_learning = self.training and torch.is_grad_enabled()
        vectors = rearrange(x.float(), "b c f t -> (b t) (c f)")
        if is_learning:
            self._revive(vectors.detach())
        indices = self._nearest(vectors.detach())
        if is_learning:
            self.counts += torch.bincount(indices, minlength=len(self.counts))
        codes = self.embedding(indices)
        losses = {
            "codebook": F.mse_loss(codes, vectors.detach()),
            "commitment": self.beta * F.mse_loss(vectors, codes.detach()),
        }
        passed = vectors + (codes - vectors).detach()
        quantized = rearrange(passed, "(b t) (c f) -> b c f t", c=channels, t=frames)
        return Quantized(quantized, losses, rearrange(indices, "(b t) -> b t", t=frames))

    @torch.no_grad()
    def settle(self) -> None:
        """End a step: add its counts, of all processes, to the moving average."""
        if _together():
            dist.all_reduce(self.counts)
        self.share.lerp_(self.counts / self.counts.sum(), 1 - MEMORY)
        self.idle.add_(1).masked_fill_(self.counts > 0, 0)
        self.counts.zero_()

    def usage(self) -> Usage:
        """Number of codes in use and their perplexity; zeros before the first step."""
        if not self.share.any():
            return Usage(0, 0.0)
        used = (self.share > 0) & (self.idle < self.patience)
        shares = self.share / self.share.sum()
        entropy = -torch.special.xlogy(shares, shares).sum()
        return Usage(int(used.sum()), float(entropy.exp()))

    @torch.no_grad()
    def _nearest(self, vectors: Float[Tensor, "token feature"]) -> Int[Tensor, " token"]:
        """Indices of the nearest codes by Euclidean distance."""
        # |v - c|^2 = |v|^2 - 2 v.c + |c|^2, of which |v|^2 is the same for all codes.
        codes = full_tensor(self.embedding.weight)
        with full_precision(vectors):
            return (codes.square().sum(-1) - 2 * vectors @ codes.T).argmin(-1)

    @torch.no_grad()
    def _revive(self, vectors: Float[Tensor, "token feature"]) -> None:
        """Replace codes that were unused for too long by frames of the batch."""
        dead = self.idle >= self.patience
        count = int(dead.sum())
        if count:
            # Each frame once, unless there are fewer frames than codes.
            drawn = torch.randperm(len(vectors), device=vectors.device)
            fresh = vectors[drawn[torch.arange(count, device=drawn.device) % len(vectors)]]
            if _together():
                dist.broadcast(fresh, src=0)
            codes = full_tensor(self.embedding.weight).clone()
            codes[dead] = fresh
            self.embedding.weight.copy_(split_like(codes, self.embedding.weight))
            self.share.masked_fill_(dead, 0)
            self.idle.masked_fill_(dead, 0)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
