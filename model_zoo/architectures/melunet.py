"""MelUNet: a convolutional U over mel bands.

The U-Net (Ronneberger et al. 2015, arXiv 1505.04597; for voices Jansson et al. 2017) with ConvNeXt
blocks, in the form of MSRKit, whose tensor names it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.mel_frontend import PUBLIC, SEVERAL, SMALL, MelConfig, MelSeparator
from model_zoo.blocks.convnext import ConvNeXt2DBlock
from model_zoo.blocks.spectral import Band
from model_zoo.config import broken
from model_zoo.separator import Documented, Sizes

KERNEL = (7, 7)

MOST_LEVELS = 16
"""Each has twice the features of the one before, so that the last of these has 65,536 times as many
as the first."""


@dataclass(frozen=True)
class MelUNetConfig(MelConfig):
    """Arguments of :class:`MelUNet`.

    Attributes:
        hidden_channels: features of the outermost level; every level doubles them.
        num_layers: levels of the U.
        upsampling_factor: by how much each level shrinks frames and bands.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: in Hz.
        depthwise: convolve every feature on its own; the public MSRKit weights mix them.
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
    """Split into bands, down the U, up again, and merge.

    Args:
        band: from bins to bands and back.
        down: blocks from the outermost level inwards, each shrinking bands and frames.
        up: blocks in the same order, each undoing the shrinking of its level.
    """

    def __init__(self, band: Band, down: nn.ModuleList, up: nn.ModuleList) -> None:
        super().__init__()
        self.band, self.down, self.up = band, down, up

    def forward(
        self, features: Float[Tensor, "batch freq frame feature"]
    ) -> Float[Tensor, "batch freq frame number"]:
        """Numbers per bin from features per bin."""
        levels = [self.band.split(features)]
        for block in self.down:
            levels.append(block(levels[-1]))
        x = levels.pop()
        for block, skip in zip(reversed(self.up), reversed(levels), strict=True):
            x = block(x, skip.shape[-2:])
            # The outermost level has no bridge: the bands reach the output through the U only.
            x = x if skip is levels[0] else x + skip
        return self.band.unsplit(x)


class MelUNet(MelSeparator):
    """Spectrum of the stems from a U of ConvNeXt blocks.

    Takes the arguments of :class:`MelUNetConfig`.
    """

    Config = MelUNetConfig
    purpose = "an instrument, with many weights: a U of convolutions over mel bands"
    sizes = Sizes(
        small={"hidden_channels": 6, "num_layers": 2, "upsampling_factor": 2, **SMALL},
        several=SEVERAL,
        documented=(
            Documented(19_804_600, (32, 4, 2, *PUBLIC)),
            Documented(41_058_840, (32, 4, 2, *PUBLIC), {"depthwise": False}),
            Documented(162_120_568, (64, 4, 2, *PUBLIC), {"depthwise": False}),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
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

    @property
    def core(self) -> UPath:
        """Features to spectrum: the parts of this network without the STFT."""
        return UPath(self.band, self.downsampling_blocks, self.upsampling_blocks)
