"""TFSWA-UNet and its lightweight form: a U-Net of time, frequency and shifted-window attention.

Input are the real and imaginary part of a spectrogram, output is a mask for each stem. The three
kinds of attention run in parallel; the network of the paper, with attention in series, is
:mod:`model_zoo.architectures.tfswa_resunet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import MonoWave, Stems, Wave
from model_zoo.blocks.tfswa import PlaneU, TFSWABlocks, activated, normalized, way_down, way_up
from model_zoo.config import broken
from model_zoo.ops.spectra import with_nyquist
from model_zoo.separator import (
    Frontend,
    Spectra,
    SpectralConfig,
    SpectralSeparator,
    Spectrum,
    parts_of,
)

LEAST_VARIANCE = 1e-8
"""Variance added to that of a bin, so that silence is not divided by zero."""


def instance_normalized(
    x: Float[Tensor, "batch channel frame freq"],
) -> Float[Tensor, "batch channel frame freq"]:
    """Every bin of every channel without its mean over time, divided by its deviation."""
    variance, mean = torch.var_mean(x, dim=2, keepdim=True, correction=0)
    return (x - mean) * torch.rsqrt(variance + LEAST_VARIANCE)


class TFSWAFrontend(Frontend):
    """Real and imaginary parts of one audio channel, each bin normalized over time.

    The core returns a mask between 0 and 1 for each stem. Nyquist is left out, and silent in the
    stems.
    """

    def analyze(self, mixture: Wave | MonoWave) -> Spectrum:
        """Spectrogram without Nyquist."""
        return super().analyze(mixture)[:, :, :-1]

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch 2 frame freq"]:
        """Real and imaginary part, normalized."""
        parts = torch.view_as_real(spectrum[:, 0])
        return instance_normalized(rearrange(parts, "b f t m -> b m t f"))

    def apply_output(
        self, spectrum: Spectrum, output: Float[Tensor, "batch stem frame freq"]
    ) -> Spectra:
        """Spectrogram of the mixture under a mask for each stem."""
        return spectrum[:, None] * rearrange(output, "b s t f -> b s 1 f t")

    def synthesize(self, spectra: Spectra, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Waveforms without Nyquist."""
        return super().synthesize(with_nyquist(spectra), mixture)


@dataclass(frozen=True)
class TFSWAConfig(SpectralConfig):
    """Arguments of all TFSWA networks that return masks.

    Attributes:
        depths: blocks of each level, the outermost first, the bottleneck last.
        dims: features of each level.
        attention_window: frames and bins of an attention window (``window_size`` of the network).
        shift_size: frames and bins by which the windows of every second block are shifted.
        num_heads: attention heads.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
    """

    depths: tuple[int, ...] = (2, 2, 6, 2)
    dims: tuple[int, ...] = (32, 64, 128, 256)
    attention_window: int = 8
    shift_size: int = 4
    num_heads: int = 8
    window_size: int = 4096
    hop_size: int = 1024
    sample_rate: int = 44_100
    stems: tuple[str, ...] = field(default=("vocals", "accompaniment"), kw_only=True)
    segment: int = field(default=130_048, kw_only=True)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        dims, depths, heads, window = self.dims, self.depths, self.num_heads, self.attention_window
        rules = {
            f"depths must be as many as dims: {len(depths)} instead of {len(dims)}": (
                len(depths) != len(dims)
            ),
            "dims must list at least two levels": len(dims) < 2,
            f"dims must be multiples of num_heads={heads}": any(dim % heads for dim in dims),
            "dims and depths must be 1 or more": min((*dims, *depths), default=1) < 1,
            f"shift_size must be below attention_window={window}": self.shift_size >= window,
        }
        return super().mistakes() or broken(rules)


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
"""Options of the smallest networks."""


@dataclass(frozen=True)
class TFSWAUNetConfig(TFSWAConfig):
    """Arguments of :class:`TFSWAUNetSeparator`, after those of :class:`TFSWAConfig`.

    Attributes:
        skip_projection: see :class:`TFSWAUNet`.
    """

    skip_projection: bool = field(default=True, kw_only=True)


class TFSWAUNet(PlaneU):
    """Masks between 0 and 1 from a spectrogram.

    Each level halves the frames and bins of the one above. Planes of any size are padded with zeros
    to whole windows at every level.

    Args:
        in_channels: values per bin: real and imaginary part.
        out_channels: number of masks.
        depths: blocks of each level, the outermost first, the bottleneck last.
        dims: features of each level.
        window_size: frames and bins of an attention window.
        shift_size: frames and bins by which the windows of every second block are shifted.
        num_heads: attention heads.
        skip_projection: pass skip connections through a 1x1 convolution and batch normalization
            before they are added.
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
    """Convolution from the values of a bin and its neighbours to features."""
    return activated(nn.Conv2d(in_channels, dim, 7, padding=3))


def shrinking(outer: int, inner: int) -> nn.Sequential:
    """Convolution to half of the frames and bins."""
    return activated(nn.Conv2d(outer, inner, 4, stride=2, padding=1))


def growing(inner: int, outer: int) -> nn.Sequential:
    """Transposed convolution to twice the frames and bins."""
    return activated(nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1))


def projection(dim: int) -> nn.Sequential:
    """Layers of a skip connection."""
    return normalized(nn.Conv2d(dim, dim, 1))


def mask_head(dim: int, masks: int) -> nn.Sequential:
    """Layers from features to masks."""
    smooth = activated(nn.Conv2d(dim, dim, 3, padding=1))
    return smooth.append(nn.Conv2d(dim, masks, 1)).append(nn.Sigmoid())


class TFSWAUNetSeparator(SpectralSeparator):
    """Masks of the mixture's spectrogram from :class:`TFSWAUNet`.

    Takes the arguments of :class:`TFSWAUNetConfig`.
    """

    Config = TFSWAUNetConfig
    config: TFSWAUNetConfig
    purpose = (
        "voice and accompaniment: a U-Net with attention along time, along frequency and in windows"
    )
    documented_parameters = 15_427_010
    small_options = SMALL
    channels = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.fourier = TFSWAFrontend(config.window_size, config.hop_size)
        self.network = TFSWAUNet(
            2,
            len(config.stems),
            config.depths,
            config.dims,
            config.attention_window,
            config.shift_size,
            config.num_heads,
            config.skip_projection,
        )

    def blocks(self) -> Iterator[nn.Module]:
        """Attention blocks and the layers between levels."""
        return layers_of_stages(self.network)


def layers_of_stages(network: nn.Module) -> Iterator[nn.Module]:
    """Parts of every level of a U-Net."""
    for stage in parts_of(network):
        yield from parts_of(stage)


@dataclass(frozen=True)
class LightweightTFSWAConfig(TFSWAConfig):
    """Arguments of :class:`LightweightTFSWASeparator`, after those of :class:`TFSWAConfig`.

    Attributes:
        attention_window: frames and groups of bins of an attention window.
        shift_size: frames and groups by which the windows of every second block are shifted.
        patch: adjacent bins that are grouped.
        expansion: width factor inside the feed-forward parts.
    """

    depths: tuple[int, ...] = (1, 1, 2)
    dims: tuple[int, ...] = (64, 96, 192)
    num_heads: int = 4
    patch: int = field(default=16, kw_only=True)
    expansion: int = field(default=2, kw_only=True)


class LightweightTFSWA(PlaneU):
    """A small TFSWA-UNet: groups of bins instead of bins, and separable convolutions.

    With groups of 16, each attention has a sixteenth of the tokens. Between levels, depthwise
    convolutions are followed by 1x1 convolutions that mix features (Howard et al. 2017, arXiv
    1704.04861). Skip connections are projected as in TFSWA-UNet.

    Args:
        in_channels: values per bin: real and imaginary part.
        out_channels: number of masks.
        depths: blocks of each level, the outermost first, the bottleneck last.
        dims: features of each level.
        window_size: frames and groups of bins of an attention window.
        shift_size: frames and groups by which the windows of every second block are shifted.
        num_heads: attention heads.
        patch: adjacent bins that are grouped.
        expansion: width factor inside the feed-forward parts.
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
    """Separable convolution to half of the frames and groups."""
    near = nn.Conv2d(outer, outer, 4, stride=2, padding=1, groups=outer)
    return nn.Sequential(near, *activated(nn.Conv2d(outer, inner, 1)))


def separable_growing(inner: int, outer: int) -> nn.Sequential:
    """Separable transposed convolution to twice the frames and groups."""
    near = nn.ConvTranspose2d(outer, outer, 4, stride=2, padding=1, groups=outer)
    return nn.Sequential(nn.Conv2d(inner, outer, 1), *activated(near))


def ungrouping(dim: int, masks: int, patch: int) -> nn.Sequential:
    """Layers from the features of a group to the masks of its bins."""
    wide = activated(nn.Conv2d(dim, 2 * dim, 1))
    bins = nn.ConvTranspose2d(2 * dim, masks, (1, patch), (1, patch))
    return wide.append(bins).append(nn.Sigmoid())


class LightweightTFSWASeparator(SpectralSeparator):
    """Masks of the mixture's spectrogram from :class:`LightweightTFSWA`.

    Takes the arguments of :class:`LightweightTFSWAConfig`.
    """

    Config = LightweightTFSWAConfig
    config: LightweightTFSWAConfig
    purpose = "small machines: a TFSWA-UNet over groups of bins, with separable convolutions"
    documented_parameters = 2_919_714
    small_options: ClassVar[Mapping[str, Any]] = {**SMALL, "patch": 4}
    channels = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.fourier = TFSWAFrontend(config.window_size, config.hop_size)
        self.network = LightweightTFSWA(
            2,
            len(config.stems),
            config.depths,
            config.dims,
            config.attention_window,
            config.shift_size,
            config.num_heads,
            config.patch,
            config.expansion,
        )

    def blocks(self) -> Iterator[nn.Module]:
        """Attention blocks and the layers between levels."""
        return layers_of_stages(self.network)
