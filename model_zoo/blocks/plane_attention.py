"""Transformer layers over planes of features: along time, along frequency, within windows.

A plane has one vector of features for every frame and bin. Each layer rearranges the plane into
sequences, applies attention and a feed-forward part to them, and restores the plane. A plane has
many thousands of sequences, so they are computed in parts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from model_zoo.blocks.attention import RegionAttention
from model_zoo.ops.tensors import ceil_div

Plane = Float[Tensor, "batch feature frame freq"]
Tokens = Float[Tensor, "sequence token feature"]
SequenceRegions = Int[Tensor, "sequence token 1"]
"""Regions of tokens; sequences are the batch of the attention."""

MOST_WEIGHTS = 2**28
"""Attention weights, over all heads, of the sequences that are computed at once: 1 GiB of float32
for kernels that store them."""

MOST_SEQUENCES = 2**15
"""Sequences that are computed at once: the limit of CUDA kernels is 65,535."""


class PlaneAttention(nn.Module):
    """Pre-norm transformer layer; subclasses define the sequences of a plane.

    Args:
        width: features of the plane.
        num_heads: attention heads; must divide ``width``.
        expansion: width factor inside the feed-forward part.
    """

    def __init__(self, width: int, num_heads: int, expansion: int = 4) -> None:
        super().__init__()
        self.att_norm = nn.LayerNorm(width)
        self.att = RegionAttention(width, num_heads)
        self.ffn_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Linear(expansion * width, width),
        )

    def forward(self, x: Plane) -> Plane:
        """Mix the tokens of every sequence, then transform each token."""
        tokens, regions = self.sequences(x), self.regions(x)
        if torch.compiler.is_exporting():  # the number of parts would depend on the plane
            return self.plane(self._layer(tokens, regions), x)
        size = self._at_once(tokens)
        parts = torch.split(tokens, size)
        numbers = [None] * len(parts) if regions is None else torch.split(regions, size)
        mixed = [self._layer(*pair) for pair in zip(parts, numbers, strict=True)]
        return self.plane(torch.cat(mixed), x)

    def weights(self, x: Plane) -> Float[Tensor, "sequence head token token"]:
        """Attention weights between all tokens of a sequence, for small planes."""
        return self.att.weights(self.att_norm(self.sequences(x)), self.regions(x))

    def sequences(self, x: Plane) -> Tokens:
        """The sequences of a plane."""
        raise NotImplementedError(f"{type(self).__name__} must say what its sequences are")

    def regions(self, x: Plane) -> SequenceRegions | None:
        """Tokens attend to those of their own region; None for a single region."""
        return None

    def plane(self, tokens: Tokens, like: Plane) -> Plane:
        """Plane of the size of ``like`` from its sequences: the inverse of :meth:`sequences`."""
        raise NotImplementedError(f"{type(self).__name__} must put its planes together")

    def _layer(self, x: Tensor, regions: Tensor | None) -> Tensor:
        x = x + self.att(self.att_norm(x), regions)
        return x + self.mlp(self.ffn_norm(x))

    def _at_once(self, tokens: Tensor) -> int:
        weights = self.att.n_head * tokens.shape[1] ** 2
        return max(1, min(MOST_SEQUENCES, MOST_WEIGHTS // weights))


class TemporalSequenceAttention(PlaneAttention):
    """Temporal sequence attention (TSA): along time, for every bin on its own.

    Takes the arguments of :class:`PlaneAttention`.
    """

    def sequences(self, x: Plane) -> Tokens:
        """Frames of every bin."""
        return rearrange(x, "b d t f -> (b f) t d")

    def plane(self, tokens: Tokens, like: Plane) -> Plane:
        """Plane from the frames of every bin."""
        return rearrange(tokens, "(b f) t d -> b d t f", b=like.shape[0])


class FrequencySequenceAttention(PlaneAttention):
    """Frequency sequence attention (FSA): along frequency, for every frame on its own.

    Takes the arguments of :class:`PlaneAttention`.
    """

    def sequences(self, x: Plane) -> Tokens:
        """Bins of every frame."""
        return rearrange(x, "b d t f -> (b t) f d")

    def plane(self, tokens: Tokens, like: Plane) -> Plane:
        """Plane from the bins of every frame."""
        return rearrange(tokens, "(b t) f d -> b d t f", b=like.shape[0])


class ShiftedWindowAttention(PlaneAttention):
    """Attention within windows of a plane (Swin, Liu et al. 2021, arXiv 2103.14030).

    The plane is padded to whole windows. For a shifted grid it is rolled, so that windows at the
    edges also hold what was cut off on the other side (section 3.2, figure 4). Attention masks out
    both the padding and the other side. An axis of a single window is not shifted.

    Args:
        width: features of the plane.
        num_heads: attention heads; must divide ``width``.
        window: frames and bins of a window.
        shift: frames and bins by which the grid of windows is shifted; less than a window.
        expansion: width factor inside the feed-forward part.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        window: tuple[int, int],
        shift: tuple[int, int] = (0, 0),
        expansion: int = 4,
    ) -> None:
        super().__init__(width, num_heads, expansion)
        self.window, self.shift = window, shift

    def sequences(self, x: Plane) -> Tokens:
        """Frames and bins of every window."""
        shift = self._shift(x)
        whole = torch.roll(padded(x, self.window), (-shift[0], -shift[1]), (2, 3))
        frames, bins = self.window
        pattern = "b d (t frames) (f bins) -> (b t f) (frames bins) d"
        return rearrange(whole, pattern, frames=frames, bins=bins)

    def plane(self, tokens: Tokens, like: Plane) -> Plane:
        """Plane from the frames and bins of every window, with the shift undone."""
        frames, bins = self.window
        pattern = "(b t f) (frames bins) d -> b d (t frames) (f bins)"
        rows = whole_windows(like.shape[2], frames)
        whole = rearrange(tokens, pattern, b=like.shape[0], t=rows, frames=frames, bins=bins)
        back = torch.roll(whole, self._shift(like), (2, 3))
        return back[:, :, : like.shape[2], : like.shape[3]]

    def regions(self, x: Plane) -> SequenceRegions | None:
        """Regions of windows that consist of several pieces or of padding."""
        sides, shift = x.shape[2:], self._shift(x)
        if not any(shift) and all(
            side % window == 0 for side, window in zip(sides, self.window, strict=True)
        ):
            return None
        rows, columns = (
            _pieces(side, window, by, x.device)
            for side, window, by in zip(sides, self.window, shift, strict=True)
        )
        numbers = 3 * rows[:, None] + columns[None, :]
        pattern = "(t frames) (f bins) -> (t f) (frames bins) 1"
        windows = rearrange(numbers, pattern, frames=self.window[0], bins=self.window[1])
        return windows.repeat(x.shape[0], 1, 1)

    def _shift(self, x: Tensor) -> tuple[int, int]:
        frames, bins = (
            by if side > window else 0
            for side, window, by in zip(x.shape[2:], self.window, self.shift, strict=True)
        )
        return frames, bins


def whole_windows(side: int, window: int) -> int:
    """Number of windows needed to cover ``side``."""
    return ceil_div(side, window)


def padded(
    x: Plane, window: tuple[int, int]
) -> Float[Tensor, "batch feature whole_frame whole_freq"]:
    """Plane padded with zeros at its ends to whole windows of ``window`` frames and bins."""
    frames, bins = (
        whole_windows(side, window) * window - side
        for side, window in zip(x.shape[2:], window, strict=True)
    )
    return F.pad(x, (0, bins, 0, frames)) if frames or bins else x


def _pieces(side: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Regions along one rolled axis: 0 unmoved, 1 rolled over from the start, 2 padding."""
    place = torch.arange(whole_windows(side, window) * window, device=device).roll(-shift)
    return (place < shift).long() + 2 * (place >= side).long()
