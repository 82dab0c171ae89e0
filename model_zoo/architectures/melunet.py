"""MelUNet: a convolutional U-Net over mel bands.

The U-Net (Ronneberger et al. 2015, arXiv 1505.04597; for voices Jansson et al. 2017) with ConvNeXt
blocks, in the form of MSRKit, whose tensor names it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.mel_frontend import SMALL, MelConfig, MelFrontend, mel_band
from model_zoo.blocks.convnext import ConvNeXt2DBlock
from model_zoo.blocks.spectral import Band
from model_zoo.config import broken
from model_zoo.separator import SpectralSeparator

KERNEL = (7, 7)

MOST_LEVELS = 16
"""Every level doubles the features, so that the last of these has 65,536 times as many as the
first."""


@dataclass(frozen=True)
class MelUNetConfig(MelConfig):
    """Arguments of :class:`MelUNet`.

    Attributes:
        hidden_channels: features of the outermost level; every level doubles them.
        num_layers: levels of the U-Net.
        upsampling_factor: factor by which each level reduces frames and bands.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        depthwise: convolve every feature on its own; the public MSRKit weights mix features.
    """

    hidden_channels: int = 32
    num_layers: int = 4
    upsampling_factor: int = 2
    window_size: int = 2048
    hop_size: int = 512
    sample_rate: int = 48_000
    output: Literal["mask", "map"] = field(default="map", kw_only=True)
    depthwise: bool = field(default=True, kw_only=True)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        deep = f"num_layers must be at most {MOST_LEVELS}, found {self.num_layers}"
        return super().mistakes() + broken({deep: self.num_layers > MOST_LEVELS})


class UPath(nn.Module):
    """U-Net between the layers that split bins into bands and merge them again.

    Args:
        band: layers from bins to bands and back.
        down: blocks from the outermost level inwards, each reducing bands and frames.
        up: blocks in the same order, each restoring the size of its level.
    """

    def __init__(self, band: Band, down: nn.ModuleList, up: nn.ModuleList) -> None:
        super().__init__()
        self.band, self.down, self.up = band, down, up

    def forward(
        self, features: Float[Tensor, "batch freq frame feature"]
    ) -> Float[Tensor, "batch freq frame value"]:
        """Values per bin from features per bin."""
        levels = [self.band.split(features)]
        for block in self.down:
            levels.append(block(levels[-1]))
        x = levels.pop()
        for block, skip in zip(reversed(self.up), reversed(levels), strict=True):
            x = block(x, skip.shape[-2:])
            # The outermost level has no skip connection.
            x = x if skip is levels[0] else x + skip
        return self.band.unsplit(x)


class MelUNet(SpectralSeparator):
    """Spectrograms of the stems from a U-Net of ConvNeXt blocks.

    Takes the arguments of :class:`MelUNetConfig`.
    """

    Config = MelUNetConfig
    config: MelUNetConfig
    purpose = "an instrument, with many weights: a convolutional U-Net over mel bands"
    documented_parameters = 19_804_600
    small_options: ClassVar[Mapping[str, Any]] = {
        "hidden_channels": 6,
        "num_layers": 2,
        "upsampling_factor": 2,
        **SMALL,
    }
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "expander_db")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.audio_channels
        self.fourier = MelFrontend(config)
        self.band = mel_band(config, config.hidden_channels)
        widths = [config.hidden_channels * 2**level for level in range(config.num_layers + 1)]
        stride = (config.upsampling_factor, config.upsampling_factor)
        pairs = list(pairwise(widths))
        self.upsampling_blocks = nn.ModuleList(
            ConvNeXt2DBlock(KERNEL, stride, inner, outer, "transposed", depthwise=config.depthwise)
            for outer, inner in pairs
        )
        self.downsampling_blocks = nn.ModuleList(
            ConvNeXt2DBlock(KERNEL, stride, outer, inner, depthwise=config.depthwise)
            for outer, inner in pairs
        )

    @cached_property
    def core(self) -> UPath:
        """Features to spectrograms of the stems; not registered, so tensor names lack ``core``."""
        return UPath(self.band, self.downsampling_blocks, self.upsampling_blocks)
