"""Residual branches of Demucs: dilated convolutions over time, with LSTMs and local attention.

Défossez 2021, Hybrid Spectrogram and Waveform Source Separation (arXiv 2111.03600).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.ops.tensors import ceil_div

Sequence = Float[Tensor, "batch feature frame"]

KERNEL = 3
"""Frames that each convolution covers; they lie 1, 2, 4 ... frames apart in branch 0, 1, 2 ..."""

INITIAL_SCALE = 1e-3
"""Scale of a branch before training."""


class LayerScale(nn.Module):
    """Multiplies each feature by a learned number.

    Touvron et al. 2021, Going Deeper with Image Transformers (arXiv 2103.17239).

    Args:
        features: number of features.
        initial: every number before training.
        features_last: the last axis has the features, not the last but one.
    """

    def __init__(self, features: int, initial: float, *, features_last: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((features,), initial))
        self._shape = (-1,) if features_last else (-1, 1)

    def forward(self, x: Float[Tensor, "batch row column"]) -> Float[Tensor, "batch row column"]:
        """The scaled features."""
        return x * self.scale.view(self._shape)


class ChunkedLSTM(nn.Module):
    """Two bidirectional LSTM layers over at most :attr:`CHUNK` frames at once, added to the input.

    A longer sequence is cut into chunks that overlap by half; of each chunk the middle half is
    used, at the ends of the sequence also the rest.

    Args:
        features: number of features.
    """

    CHUNK = 200
    STEP = CHUNK // 2
    EDGE = STEP // 2

    def __init__(self, features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, features, num_layers=2, bidirectional=True)
        self.linear = nn.Linear(2 * features, features)

    def forward(self, x: Sequence) -> Sequence:
        """Features of all frames."""
        frames = x.shape[-1]
        if frames <= self.CHUNK:
            return x + self._recurrent(x)
        steps = ceil_div(frames, self.STEP)
        padded = F.pad(x, (0, (steps + 1) * self.STEP - frames))
        chunks = rearrange(padded.unfold(-1, self.CHUNK, self.STEP), "b c n t -> (b n) c t")
        return x + self._joined(self._recurrent(chunks), steps)[..., :frames]

    def _recurrent(self, x: Sequence) -> Sequence:
        hidden, _ = self.lstm(rearrange(x, "b c t -> t b c"))
        return rearrange(self.linear(hidden), "t b c -> b c t")

    def _joined(
        self, x: Float[Tensor, "chunk feature frame"], chunks: int
    ) -> Float[Tensor, "batch feature frames"]:
        """Sequences from the chunks of each."""
        by_item = rearrange(x, "(b n) c t -> b c n t", n=chunks)
        start, end = by_item[:, :, 0, : self.EDGE], by_item[:, :, -1, -self.EDGE :]
        middle = by_item[..., self.EDGE : -self.EDGE].flatten(2)
        return torch.cat([start, middle, end], dim=-1)


class LocalAttention(nn.Module):
    """Attention that is weaker the further away a frame is, at a rate computed from the frame.

    There is no position embedding, and no frame attends to itself.

    Args:
        features: number of features, a multiple of :attr:`HEADS`.
    """

    HEADS = 4
    DECAYS = 4
    SELF = -100.0
    """Score of a frame for itself: nothing, unless there is no other frame."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.content = nn.Conv1d(features, features, 1)
        self.query = nn.Conv1d(features, features, 1)
        self.key = nn.Conv1d(features, features, 1)
        self.query_decay = nn.Conv1d(features, self.HEADS * self.DECAYS, 1)
        self.proj = nn.Conv1d(features, features, 1)
        self._init_decay()

    @torch.no_grad()
    def _init_decay(self) -> None:
        """Begin with small decays: far frames count nearly as much as near ones."""
        assert self.query_decay.bias is not None, "the layer has one"
        self.query_decay.weight.mul_(0.01)
        self.query_decay.bias.fill_(-2)

    def forward(self, x: Sequence) -> Sequence:
        """The input plus the attended content."""
        query, key, content = (
            rearrange(layer(x), "b (h c) t -> b h t c", h=self.HEADS)
            for layer in (self.query, self.key, self.content)
        )
        scores = query @ key.mT / key.shape[-1] ** 0.5 - self._penalties(x)
        itself = torch.eye(x.shape[-1], dtype=torch.bool, device=x.device)
        weights = scores.masked_fill(itself, self.SELF).softmax(-1)
        return x + self.proj(rearrange(weights @ content, "b h t c -> b (h c) t"))

    def _penalties(self, x: Sequence) -> Float[Tensor, "batch head query key"]:
        """Penalty of each key for each query: their distance times the decay of the query.

        The decay is a sum of the rates 1 to 4, each weighted between 0 and 1/2.
        """
        weights = self.query_decay(x).sigmoid() / 2
        by_head = rearrange(weights, "b (h d) t -> b h t d", h=self.HEADS)
        rates = torch.arange(1, self.DECAYS + 1, device=x.device, dtype=by_head.dtype)
        decay = (by_head * rates).sum(-1, keepdim=True) / self.DECAYS**0.5
        time = torch.arange(x.shape[-1], device=x.device, dtype=torch.float32)
        return decay * (time[:, None] - time).abs()


class DConv(nn.Module):
    """Residual branches with a bottleneck, one after the other.

    Args:
        features: number of features.
        compress: ``features`` divided by the width of the bottleneck.
        depth: number of branches.
        has_lstm: put a :class:`ChunkedLSTM` into each bottleneck.
        has_attention: put :class:`LocalAttention` into each bottleneck.
    """

    def __init__(
        self,
        features: int,
        compress: int,
        depth: int = 2,
        *,
        has_lstm: bool = False,
        has_attention: bool = False,
    ) -> None:
        super().__init__()
        hidden = features // compress
        self.layers = nn.ModuleList(
            nn.Sequential(
                _dilated(features, hidden, 1 << number),
                nn.GroupNorm(1, hidden),
                nn.GELU(),
                *([ChunkedLSTM(hidden)] if has_lstm else []),
                *([LocalAttention(hidden)] if has_attention else []),
                nn.Conv1d(hidden, 2 * features, 1),
                nn.GroupNorm(1, 2 * features),
                nn.GLU(1),
                LayerScale(features, INITIAL_SCALE),
            )
            for number in range(depth)
        )

    def forward(self, x: Sequence) -> Sequence:
        """The input plus the output of every branch."""
        for layer in self.layers:
            x = x + layer(x)
        return x


def _dilated(features: int, hidden: int, dilation: int) -> nn.Conv1d:
    """Convolution that keeps the number of frames."""
    return nn.Conv1d(features, hidden, KERNEL, dilation=dilation, padding=dilation)
