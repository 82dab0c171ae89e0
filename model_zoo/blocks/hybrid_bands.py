"""Levels of hybrid networks with weights of their own for each band of bins.

Défossez 2021, Hybrid Spectrogram and Waveform Source Separation (arXiv 2111.03600). Bands overlap
at their edges, so that with the same weights in every band such a level is a level without bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.hybrid import (
    KERNEL,
    STRIDE,
    DecoderLevel,
    EncoderLevel,
    LevelOptions,
)

Plane = Float[Tensor, "batch feature freq frame"]
PlaneAbove = Float[Tensor, "batch feature_above freq_above frame"]
PlaneBelow = Float[Tensor, "batch feature_below freq_below frame"]

PADDING = KERNEL // 4

BANDED = LevelOptions("freq", padding=0, sees_neighbours=False)
"""Bands pad themselves and their convolutions along frequency do not reach into each other."""


def encoder_edges(bins: int, ratios: Sequence[float]) -> list[int]:
    """Bins of the level below at which bands begin, and their number.

    Args:
        bins: bins of the level above.
        ratios: shares of the bins at which bands meet.
    """
    edges = [0]
    for ratio in ratios:
        kernels = (round(bins * ratio) - PADDING) / STRIDE  # that begin below the edge
        edges.append(edges[-1] + round(kernels - edges[-1]))
    return [*edges, bins // STRIDE]


def decoder_edges(bins: int, ratios: Sequence[float]) -> list[int]:
    """Bins of the level below at which bands begin, and their number."""
    return [0, *(round(bins * ratio) for ratio in ratios), bins]


class BandedEncoderLevel(nn.Module):
    """Encoder levels, one for each band of bins.

    Args:
        width: input features.
        out: output features.
        options: :data:`BANDED` with residual branches.
        ratios: shares of the bins at which bands meet.
    """

    def __init__(
        self, width: int, out: int, options: LevelOptions, ratios: Sequence[float]
    ) -> None:
        super().__init__()
        self.ratios = tuple(ratios)
        self.layers = nn.ModuleList(
            EncoderLevel(width, out, options) for _ in range(len(self.ratios) + 1)
        )

    def forward(self, x: Plane) -> PlaneBelow:
        """Features of the level below."""
        padded = F.pad(x, (0, 0, PADDING, PADDING))
        edges = pairwise(encoder_edges(x.shape[2], self.ratios))
        bands = [
            layer(padded[:, :, STRIDE * start : STRIDE * (end - 1) + KERNEL])
            for layer, (start, end) in zip(self.layers, edges, strict=True)
        ]
        return torch.cat(bands, dim=2)


class BandedDecoderLevel(nn.Module):
    """Decoder levels, one for each band of bins.

    Args:
        width: input features.
        out: output features.
        options: :data:`BANDED` with residual branches.
        ratios: shares of the bins at which bands meet.
        is_last: leave out the activation, because the output is that of the network.
    """

    def __init__(
        self,
        width: int,
        out: int,
        options: LevelOptions,
        ratios: Sequence[float],
        *,
        is_last: bool,
    ) -> None:
        super().__init__()
        self.ratios, self.is_last = tuple(ratios), is_last
        self.layers = nn.ModuleList(
            DecoderLevel(width, out, options, is_last=True) for _ in range(len(self.ratios) + 1)
        )

    def forward(self, x: Plane) -> tuple[PlaneAbove, Plane]:
        """Features of the level above, and what they are computed from."""
        edges = pairwise(decoder_edges(x.shape[2], self.ratios))
        bands = [
            layer(x[:, :, start:end])[0]
            for layer, (start, end) in zip(self.layers, edges, strict=True)
        ]
        whole = bands[0]
        for layer, band in zip([*self.layers][1:], bands[1:], strict=True):
            whole = _overlapped(whole, band, layer)
        above = whole[:, :, PADDING:-PADDING]
        return above if self.is_last else F.gelu(above), x


def _overlapped(
    lower: Float[Tensor, "batch feature lower frame"],
    upper: Float[Tensor, "batch feature upper frame"],
    level: nn.Module,
) -> Float[Tensor, "batch feature both frame"]:
    """Outputs of two bands, added where they overlap, without the bias of the upper one there."""
    assert isinstance(level, DecoderLevel)
    assert level.conv_tr.bias is not None, "transposed convolutions have one"
    shared = KERNEL - STRIDE
    joined = lower[:, :, -shared:] + upper[:, :, :shared] - level.conv_tr.bias[:, None, None]
    return torch.cat([lower[:, :, :-shared], joined, upper[:, :, shared:]], dim=2)
