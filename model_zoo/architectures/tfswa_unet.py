"""TFSWA-UNet: a U of time, frequency and shifted window attention, with masks for its answer.

The network of the seed: real and imaginary part of a spectrogram go in, a mask of each stem comes
out. Its attentions stand side by side; those of the paper, one after the other, are in
:mod:`model_zoo.architectures.tfswa_resunet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import nn

from model_zoo.architectures.tfswa_parts import (
    PlaneU,
    TFSWABlocks,
    activated,
    normalised,
    way_down,
    way_up,
)
from model_zoo.architectures.tfswa_separator import TFSWAConfig, TFSWASeparator
from model_zoo.separator import Documented, Sizes

SMALL = {
    "depths": (1, 1),
    "dims": (8, 16),
    "attention_window": 4,
    "shift_size": 2,
    "num_heads": 2,
    "window_size": 256,
    "hop_size": 64,
    "sample_rate": 16_000,
    "segment": 16_000,
}
SEVERAL = {"stems": ("vocals", "drums", "bass")}


@dataclass(frozen=True)
class TFSWAUNetConfig(TFSWAConfig):
    """Arguments of :class:`TFSWAUNetSeparator`.

    Attributes:
        depths: blocks of each level, the outermost first, the bottleneck last.
        dims: features of each level.
        attention_window: frames and bins of an attention window (``window_size`` of the network).
        shift_size: frames and bins by which the windows of every second block are shifted.
        num_heads: attention heads.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: in Hz.
        skip_projection: see :class:`TFSWAUNet`.
    """

    depths: tuple[int, ...] = (2, 2, 6, 2)
    dims: tuple[int, ...] = (32, 64, 128, 256)
    attention_window: int = 8
    shift_size: int = 4
    num_heads: int = 8
    window_size: int = 4096
    hop_size: int = 1024
    sample_rate: int = 44_100
    skip_projection: bool = field(default=True, kw_only=True)


class TFSWAUNet(PlaneU):
    """Masks between 0 and 1 from the numbers of a spectrogram.

    Each level halves frames and bins of the one above it. Planes of any size are filled up with
    zeros to whole windows at every level.

    Args:
        in_channels: numbers of a bin: real and imaginary part.
        out_channels: masks.
        depths: blocks of each level, the outermost first, the bottleneck last.
        dims: features of each level.
        window_size: frames and bins of an attention window.
        shift_size: frames and bins by which the windows of every second block are shifted.
        num_heads: attention heads.
        skip_projection: bring what crosses the U through a 1x1 convolution and batch normalisation
            before it is added; without them it is added as it is.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 2,
        depths: Sequence[int] = (2, 2, 6, 2),
        dims: Sequence[int] = (32, 64, 128, 256),
        window_size: int = 8,
        shift_size: int = 4,
        num_heads: int = 8,
        skip_projection: bool = True,
    ) -> None:
        blocks = TFSWABlocks(window_size, shift_size, num_heads)
        entries = [stem(in_channels, dims[0]), *(shrinking(*pair) for pair in pairwise(dims))]
        bridge = projection if skip_projection else nn.Identity
        side = window_size * 2 ** (len(dims) - 1)
        super().__init__(
            way_down(entries, dims, depths, blocks),
            way_up(growing, bridge, dims, depths, blocks),
            mask_head(dims[0], out_channels),
            (side, side),
        )


def stem(in_channels: int, dim: int) -> nn.Sequential:
    """From the numbers of a bin and its neighbours to features."""
    return activated(nn.Conv2d(in_channels, dim, 7, padding=3))


def shrinking(outer: int, inner: int) -> nn.Sequential:
    """To half of the frames and bins."""
    return activated(nn.Conv2d(outer, inner, 4, stride=2, padding=1))


def growing(inner: int, outer: int) -> nn.Sequential:
    """To twice the frames and bins."""
    return activated(nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1))


def projection(dim: int) -> nn.Sequential:
    """What a plane passes through before it is added on the other side of the U."""
    return normalised(nn.Conv2d(dim, dim, 1))


def mask_head(dim: int, masks: int) -> nn.Sequential:
    """From features to masks."""
    smooth = activated(nn.Conv2d(dim, dim, 3, padding=1))
    return smooth.append(nn.Conv2d(dim, masks, 1)).append(nn.Sigmoid())


class TFSWAUNetSeparator(TFSWASeparator):
    """Masks of the mixture's spectrum from :class:`TFSWAUNet`.

    Takes the arguments of :class:`TFSWAUNetConfig`.
    """

    Config = TFSWAUNetConfig
    purpose = "voice and accompaniment: a U of attention along time, frequency and in windows"
    sizes = Sizes(
        small=SMALL,
        several=SEVERAL,
        documented=(
            Documented(15_427_010),
            Documented(15_404_834, options={"skip_projection": False}),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.network = TFSWAUNet(
            2,
            len(self.stems),
            config.depths,
            config.dims,
            config.attention_window,
            config.shift_size,
            config.num_heads,
            config.skip_projection,
        )
