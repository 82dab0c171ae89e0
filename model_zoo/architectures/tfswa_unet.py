"""TFSWA-UNet and its lightweight form: a U of time, frequency and shifted-window attention.

The network of the seed: real and imaginary part of a spectrogram go in, a mask of each stem comes
out. Its attentions stand side by side; those of the paper, one after the other, are in
:mod:`model_zoo.architectures.tfswa_resunet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from model_zoo.blocks.tfswa import PlaneU, TFSWABlocks, activated, normalized, way_down, way_up
from model_zoo.config import broken
from model_zoo.ops.spectra import with_nyquist
from model_zoo.separator import (
    Documented,
    Sizes,
    Spectra,
    SpectralConfig,
    SpectralSeparator,
    Spectrum,
    parts_of,
)

LEAST_VARIANCE = 1e-8
"""Variance added to that of a bin, whose sound would otherwise be divided by zero in silence."""


def instance_normalized(
    x: Float[Tensor, "batch channel frame freq"],
) -> Float[Tensor, "batch channel frame freq"]:
    """Every bin of every channel without its mean over time, and divided by its deviation."""
    variance, mean = torch.var_mean(x, dim=2, keepdim=True, correction=0)
    return (x - mean) * torch.rsqrt(variance + LEAST_VARIANCE)


@dataclass(frozen=True, kw_only=True)
class TFSWAConfig(SpectralConfig):
    """Options of the TFSWA networks that answer with masks, beside their own.

    A subclass has ``dims``, ``depths``, ``attention_window``, ``shift_size`` and ``num_heads`` too.
    """

    stems: tuple[str, ...] = ("vocals", "accompaniment")
    segment: int = 130_048

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        return super().mistakes() or tfswa_mistakes(self)


def tfswa_mistakes(config: Any) -> list[str]:
    """What is wrong with the levels of a TFSWA network, one sentence each."""
    dims, heads = config.dims, config.num_heads
    return broken(
        {
            f"depths must be as many as dims: {len(config.depths)} instead of {len(dims)}": (
                len(config.depths) != len(dims)
            ),
            "dims must list at least two levels": len(dims) < 2,
            f"dims must be multiples of num_heads={heads}": any(dim % heads for dim in dims),
            "dims and depths must be 1 or more": min((*dims, *config.depths), default=1) < 1,
            f"shift_size must be below attention_window={config.attention_window}": (
                config.shift_size >= config.attention_window
            ),
        }
    )


class TFSWASeparator(SpectralSeparator):
    """Base of separators around a TFSWA network, which it keeps as ``network``.

    The network sees real and imaginary part of one audio channel, each bin normalized over time,
    and gives every stem a mask between 0 and 1. Nyquist is left out and silent.
    """

    Config: ClassVar[type[TFSWAConfig]]
    channels = 1
    network: nn.Module

    @property
    def core(self) -> nn.Module:
        """Normalized spectrum to masks."""
        return self.network

    def blocks(self) -> Iterator[nn.Module]:
        """Every block, and the layers between levels."""
        for stage in parts_of(self.network):
            yield from parts_of(stage)

    def spectrum(self, mixture: Wave) -> Spectrum:
        """All bins but Nyquist."""
        return super().spectrum(mixture)[:, :, :-1]

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch 2 frame freq"]:
        """Real and imaginary part, normalized."""
        numbers = torch.view_as_real(spectrum[:, 0])
        return instance_normalized(rearrange(numbers, "b f t m -> b m t f"))

    def answer(
        self, spectrum: Spectrum, numbers: Float[Tensor, "batch stem frame freq"]
    ) -> Spectra:
        """The spectrum through a mask for each stem."""
        return spectrum[:, None] * rearrange(numbers, "b s t f -> b s 1 f t")

    def waves(self, spectra: Spectra, length: int) -> Stems:
        """Waveforms without Nyquist."""
        return super().waves(with_nyquist(spectra), length)


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
        skip_projection: bring what crosses the U through a 1x1 convolution and batch normalization
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
    return normalized(nn.Conv2d(dim, dim, 1))


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
