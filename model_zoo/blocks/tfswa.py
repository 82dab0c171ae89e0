"""Parts of the TFSWA networks: blocks of three attentions, and U-Nets of such blocks.

The blocks follow the seed of TFSWA-UNet and the paper of TFSWA-ResUNet (Yao et al. 2025, EURASIP
Journal on Advances in Signal Processing 2025:39, doi 10.1186/s13634-025-01249-0)::

               ┌─ TSA: along time ──────┐
    x ─ entry ─┼─ FSA: along frequency ─┼─ fusion ─ + ─▶
    │          └─ SWA: within windows ──┘           │
    └───────────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.plane_attention import (
    FrequencySequenceAttention,
    Plane,
    ShiftedWindowAttention,
    TemporalSequenceAttention,
    padded,
)

LevelPlane = Float[Tensor, "batch level_feature level_frame level_freq"]
"""Plane of another level, with another size."""


class TFSWABlock(nn.Module):
    """Temporal, frequency and shifted window attention in parallel, on the same plane.

    Args:
        in_channels: features of the plane.
        window_size: frames and bins of a window.
        shift_size: frames and bins by which the windows are shifted; 0 for none.
        num_heads: attention heads of each attention; must divide ``in_channels``.
        expansion: width factor inside each feed-forward part.
    """

    def __init__(
        self,
        in_channels: int,
        window_size: int = 8,
        shift_size: int = 0,
        num_heads: int = 8,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        window, shift = (window_size, window_size), (shift_size, shift_size)
        self.entry = normalized(nn.Conv2d(in_channels, in_channels, 1))
        self.time = TemporalSequenceAttention(in_channels, num_heads, expansion)
        self.freq = FrequencySequenceAttention(in_channels, num_heads, expansion)
        self.window = ShiftedWindowAttention(in_channels, num_heads, window, shift, expansion)
        self.fusion = activated(nn.Conv2d(3 * in_channels, in_channels, 1))

    def forward(self, x: Plane) -> Plane:
        """Add the fused output of the three attentions to the plane."""
        entered = self.entry(x)
        found = [look(entered) for look in (self.time, self.freq, self.window)]
        return x + self.fusion(torch.cat(found, dim=1))


@dataclass(frozen=True)
class TFSWABlocks:
    """Options of the blocks of a network; every second block has shifted windows.

    Attributes:
        window_size: frames and bins of a window.
        shift_size: frames and bins by which windows are shifted.
        num_heads: attention heads.
        expansion: width factor inside the feed-forward parts.
    """

    window_size: int
    shift_size: int
    num_heads: int
    expansion: int = 4

    def row(self, dim: int, count: int) -> Iterator[TFSWABlock]:
        """``count`` blocks of ``dim`` features."""
        for number in range(count):
            shift = self.shift_size * (number % 2)
            yield TFSWABlock(dim, self.window_size, shift, self.num_heads, self.expansion)


class Stage(nn.Module):
    """Encoder level: resampling, then blocks.

    Args:
        entry: layer to the resolution and width of the level.
        blocks: blocks at that resolution.
    """

    def __init__(self, entry: nn.Module, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.entry, self.blocks = entry, nn.ModuleList(blocks)

    def forward(self, x: Plane) -> LevelPlane:
        """Plane of this level."""
        x = self.entry(x)
        for block in self.blocks:
            x = block(x)
        return x


class UpStage(nn.Module):
    """Decoder level: the upsampled plane plus the skip connection, then blocks.

    Args:
        entry: layer to the resolution and width of the level.
        bridge: layers of the skip connection.
        blocks: blocks at that resolution.
    """

    def __init__(self, entry: nn.Module, bridge: nn.Module, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.entry, self.bridge, self.blocks = entry, bridge, nn.ModuleList(blocks)

    def forward(self, x: Plane, skip: LevelPlane) -> LevelPlane:
        """Plane of this level."""
        x = self.entry(x) + self.bridge(skip)
        for block in self.blocks:
            x = block(x)
        return x


class PlaneU(nn.Module):
    """U-Net over planes of any size, which are padded with zeros and cropped again.

    Attention and convolutions see these zeros. Planes whose sides are multiples of
    :attr:`multiple`, like those of the recipes, are not padded.

    Args:
        encoder: stages from the outermost level to the bottleneck.
        decoder: stages from the bottleneck outwards, each with a skip connection.
        output_head: layers from the outermost plane to the output.
        multiple: frames and bins that planes are padded to multiples of.
    """

    def __init__(
        self,
        encoder: Iterable[nn.Module],
        decoder: Iterable[nn.Module],
        output_head: nn.Module,
        multiple: tuple[int, int],
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.output_head, self.multiple = output_head, multiple

    def forward(
        self, x: Float[Tensor, "batch channel frame freq"]
    ) -> Float[Tensor, "batch value frame freq"]:
        """Output values for every bin."""
        planes = self.encode(padded(x, self.multiple))
        return self.decode(planes)[..., : x.shape[-2], : x.shape[-1]]

    def encode(self, x: Plane) -> list[Tensor]:
        """Planes of all levels, the outermost first."""
        planes = []
        for stage in self.encoder:
            x = stage(x)
            planes.append(x)
        return planes

    def decode(self, planes: list[Tensor]) -> Plane:
        """Output from the planes of all levels."""
        x, *skips = reversed(planes)
        for stage, skip in zip(self.decoder, skips, strict=True):
            x = stage(x, skip)
        return self.output_head(x)


def way_down(
    entries: Iterable[nn.Module], dims: Sequence[int], depths: Sequence[int], blocks: TFSWABlocks
) -> Iterator[Stage]:
    """Stages of an encoder.

    Args:
        entries: layers to the resolution and width of each level.
        dims: features of each level, the outermost first.
        depths: blocks of each level.
        blocks: options of the blocks.
    """
    for entry, dim, depth in zip(entries, dims, depths, strict=True):
        yield Stage(entry, blocks.row(dim, depth))


def way_up(
    growing: Callable[[int, int], nn.Module],
    bridge: Callable[[int], nn.Module],
    dims: Sequence[int],
    depths: Sequence[int],
    blocks: TFSWABlocks,
) -> Iterator[UpStage]:
    """Stages of a decoder.

    Args:
        growing: builds the layer from the width below to that of a level.
        bridge: builds the layers of a skip connection.
        dims: features of each level, the outermost first, the bottleneck last.
        depths: blocks of each level.
        blocks: options of the blocks.
    """
    levels = [*zip(dims, dims[1:], depths, strict=False)]
    for outer, inner, depth in reversed(levels):
        yield UpStage(growing(inner, outer), bridge(outer), blocks.row(outer, depth))


def normalized(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """Layer, then batch normalization."""
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels))


def activated(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """Layer, batch normalization and GELU."""
    return normalized(layer).append(nn.GELU())
