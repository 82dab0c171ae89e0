"""Vector quantization: numbers replaced by the nearest entry of a learned code book.

van den Oord, Vinyals and Kavukcuoglu 2017, Neural Discrete Representation Learning (arXiv
1711.00937). Codes that are never the nearest learn nothing; here they are put where the data are.
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
from model_zoo.ops.tensors import full_precision, split_like, whole

MEMORY = 0.99
"""Share of its counts that a code book remembers from one step to the next."""


class Usage(NamedTuple):
    """How a code book is used.

    Attributes:
        codes: how many codes were the nearest lately.
        perplexity: how many codes, each as frequent as the others, would say as much.
    """

    codes: int
    perplexity: float


class Quantized(NamedTuple):
    """What comes of quantising.

    Attributes:
        quantized: a code in the place of every frame.
        losses: ``codebook`` brings codes to what they stand for, ``commitment`` the reverse.
        indices: of the codes.
    """

    quantized: Planes
    losses: dict[str, Float[Tensor, ""]]
    indices: Int[Tensor, "batch frame"]


class FrameQuantizer(nn.Module):
    """One code per frame: the bins of all its channels at once.

    While it learns (in training, with gradients), a code that has not been the nearest for
    ``patience`` steps becomes a frame of the present batch, drawn at random. What a step is, in
    however many parts, :meth:`settle` says at its end. All processes that train together count
    together and get the same codes, from the first of them.

    Args:
        channels: channels of a frame.
        features: bins of a channel.
        num_embeddings: number of codes.
        beta: weight of the commitment.
        patience: steps that a code may be idle.
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
        """Replace every frame by its nearest code; gradients pass as if it had stayed."""
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
        """End a step: what its parts counted, in all processes, is one memory more."""
        if _together():
            dist.all_reduce(self.counts)
        self.share.lerp_(self.counts / self.counts.sum(), 1 - MEMORY)
        self.idle.add_(1).masked_fill_(self.counts > 0, 0)
        self.counts.zero_()

    def usage(self) -> Usage:
        """How many codes were used lately, and how evenly; none before the first step."""
        if not self.share.any():
            return Usage(0, 0.0)
        used = (self.share > 0) & (self.idle < self.patience)
        shares = self.share / self.share.sum()
        entropy = -torch.special.xlogy(shares, shares).sum()
        return Usage(int(used.sum()), float(entropy.exp()))

    @torch.no_grad()
    def _nearest(self, vectors: Float[Tensor, "token feature"]) -> Int[Tensor, " token"]:
        """Places of the nearest codes by Euclidean distance."""
        # |v - c|^2 = |v|^2 - 2 v.c + |c|^2, of which |v|^2 is the same for all codes.
        codes = whole(self.embedding.weight)
        with full_precision(vectors):
            return (codes.square().sum(-1) - 2 * vectors @ codes.T).argmin(-1)

    @torch.no_grad()
    def _revive(self, vectors: Float[Tensor, "token feature"]) -> None:
        """Put codes that were idle for too long where the data are."""
        dead = self.idle >= self.patience
        count = int(dead.sum())
        if count:
            # Each frame once, unless there are fewer frames than codes.
            drawn = torch.randperm(len(vectors), device=vectors.device)
            fresh = vectors[drawn[torch.arange(count, device=drawn.device) % len(vectors)]]
            if _together():
                dist.broadcast(fresh, src=0)
            codes = whole(self.embedding.weight).clone()
            codes[dead] = fresh
            self.embedding.weight.copy_(split_like(codes, self.embedding.weight))
            self.share.masked_fill_(dead, 0)
            self.idle.masked_fill_(dead, 0)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
