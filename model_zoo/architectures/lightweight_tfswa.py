"""Lightweight TFSWA-UNet: groups of bins and separable convolutions, for small machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import nn

from model_zoo.architectures.tfswa_parts import PlaneU, TFSWABlocks, activated, way_down, way_up
from model_zoo.architectures.tfswa_separator import TFSWAConfig, TFSWASeparator
from model_zoo.architectures.tfswa_unet import SEVERAL, SMALL, projection
from model_zoo.separator import Documented, Sizes


@dataclass(frozen=True)
class LightweightTFSWAConfig(TFSWAConfig):
    """Arguments of :class:`LightweightTFSWASeparator`.

    Attributes:
        depths: blocks of each level, the outermost first, the bottleneck last.
        dims: features of each level.
        attention_window: frames and groups of bins of an attention window.
        shift_size: by how many of them the windows of every second block are shifted.
        num_heads: attention heads.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: in Hz.
        patch: neighbouring bins that the network takes for one.
        expansion: how many times wider the feed-forward parts are inside.
    """

    depths: tuple[int, ...] = (1, 1, 2)
    dims: tuple[int, ...] = (64, 96, 192)
    attention_window: int = 8
    shift_size: int = 4
    num_heads: int = 4
    window_size: int = 4096
    hop_size: int = 1024
    sample_rate: int = 44_100
    patch: int = field(default=16, kw_only=True)
    expansion: int = field(default=2, kw_only=True)


class LightweightTFSWA(PlaneU):
    """A small TFSWA-UNet: groups of bins instead of bins, and separable convolutions.

    Attention of every kind then has a sixteenth of the places to look at. Convolutions between
    levels look at every feature on its own before 1x1 convolutions mix them (Howard et al. 2017,
    arXiv 1704.04861). What crosses the U is projected as in TFSWA-UNet.

    Args:
        in_channels: numbers of a bin: real and imaginary part.
        out_channels: masks.
        depths: blocks of each level, the outermost first, the bottleneck last.
        dims: features of each level.
        window_size: frames and groups of bins of an attention window.
        shift_size: by how many of them the windows of every second block are shifted.
        num_heads: attention heads.
        patch: neighbouring bins that are one group.
        expansion: how many times wider the feed-forward parts are inside.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 2,
        depths: Sequence[int] = (1, 1, 2),
        dims: Sequence[int] = (64, 96, 192),
        window_size: int = 8,
        shift_size: int = 4,
        num_heads: int = 4,
        patch: int = 16,
        expansion: int = 2,
    ) -> None:
        blocks = TFSWABlocks(window_size, shift_size, num_heads, expansion)
        grouping = activated(nn.Conv2d(in_channels, dims[0], (3, patch), (1, patch), (1, 0)))
        entries = [grouping, *(separable_shrinking(*pair) for pair in pairwise(dims))]
        side = window_size * 2 ** (len(dims) - 1)
        super().__init__(
            way_down(entries, dims, depths, blocks),
            way_up(separable_growing, projection, dims, depths, blocks),
            ungrouping(dims[0], out_channels, patch),
            (side, patch * side),
        )


def separable_shrinking(outer: int, inner: int) -> nn.Sequential:
    """To half of the frames and groups."""
    near = nn.Conv2d(outer, outer, 4, stride=2, padding=1, groups=outer)
    return nn.Sequential(near, *activated(nn.Conv2d(outer, inner, 1)))


def separable_growing(inner: int, outer: int) -> nn.Sequential:
    """To twice the frames and groups."""
    near = nn.ConvTranspose2d(outer, outer, 4, stride=2, padding=1, groups=outer)
    return nn.Sequential(nn.Conv2d(inner, outer, 1), *activated(near))


def ungrouping(dim: int, masks: int, patch: int) -> nn.Sequential:
    """From the features of a group to the masks of its bins."""
    wide = activated(nn.Conv2d(dim, 2 * dim, 1))
    bins = nn.ConvTranspose2d(2 * dim, masks, (1, patch), (1, patch))
    return wide.append(bins).append(nn.Sigmoid())


class LightweightTFSWASeparator(TFSWASeparator):
    """Masks of the mixture's spectrum from :class:`LightweightTFSWA`.

    Takes the arguments of :class:`LightweightTFSWAConfig`.
    """

    Config = LightweightTFSWAConfig
    purpose = "small machines: a TFSWA-UNet over groups of bins, with separable convolutions"
    sizes = Sizes(small={**SMALL, "patch": 4}, several=SEVERAL, documented=(Documented(2_919_714),))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.network = LightweightTFSWA(
            2,
            len(self.stems),
            config.depths,
            config.dims,
            config.attention_window,
            config.shift_size,
            config.num_heads,
            config.patch,
            config.expansion,
        )
