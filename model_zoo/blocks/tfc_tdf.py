"""Blocks of TFC-TDF U-Nets: convolutions over time and frequency, and linear layers over bins.

Choi et al. 2020, Investigating U-Nets with various intermediate blocks for spectrogram-based
singing voice separation (arXiv 1912.02591), in the third version of KUIELab, with normalization and
activation in front of every layer (He et al. 2016, arXiv 1603.05027). Attributes have the names of
the authors' code, which checkpoints hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

Plane = Float[Tensor, "batch feature frame bin"]
PlaneOut = Float[Tensor, "batch feature_out frame bin"]

NORM = re.compile(r"BatchNorm|InstanceNorm|GroupNorm([1-9]\d{0,3})")
"""Normalization by name; a number of groups follows the last one."""

ACTIVATION = re.compile(r"gelu|relu|elu(\d+(?:\.\d+)?)")
"""Activation by name; the alpha of the last one follows it."""


@dataclass(frozen=True)
class PreActivation:
    """Normalization and activation in front of each convolution and linear layer.

    Attributes:
        norm: a full match of :data:`NORM`.
        activation: a full match of :data:`ACTIVATION`.
    """

    norm: str
    activation: str

    def before(self, features: int, layer: nn.Module) -> tuple[nn.Module, ...]:
        """Normalization and activation of ``features``, then ``layer``."""
        return (self._norm(features), self.activate(), layer)

    def activate(self) -> nn.Module:
        """A new activation."""
        if self.activation.startswith("elu"):
            return nn.ELU(float(self.activation.removeprefix("elu")))
        return nn.GELU() if self.activation == "gelu" else nn.ReLU()

    def _norm(self, features: int) -> nn.Module:
        if self.norm == "BatchNorm":
            return nn.BatchNorm2d(features)
        if self.norm == "InstanceNorm":
            return nn.InstanceNorm2d(features, affine=True)
        return nn.GroupNorm(int(self.norm.removeprefix("GroupNorm")), features)


class TFCTDFBlock(nn.Module):
    """Convolution, linear layers over all bins of a frame, and another convolution.

    Args:
        width: input features.
        out: output features.
        bins: bins of the plane.
        bottleneck: bins per feature inside the linear layers.
        layers: normalization and activation.
    """

    def __init__(
        self, width: int, out: int, bins: int, bottleneck: int, layers: PreActivation
    ) -> None:
        super().__init__()
        inner = bins // bottleneck
        self.tfc1 = nn.Sequential(*layers.before(width, convolution(width, out, 3)))
        self.tdf = nn.Sequential(
            *layers.before(out, nn.Linear(bins, inner, bias=False)),
            *layers.before(out, nn.Linear(inner, bins, bias=False)),
        )
        self.tfc2 = nn.Sequential(*layers.before(out, convolution(out, out, 3)))
        self.shortcut = convolution(width, out, 1)

    def forward(self, x: Plane) -> PlaneOut:
        """The plane with other features."""
        convolved = self.tfc1(x)
        return self.tfc2(convolved + self.tdf(convolved)) + self.shortcut(x)


def convolution(width: int, out: int, kernel: int) -> nn.Conv2d:
    """Convolution without bias that keeps frames and bins."""
    return nn.Conv2d(width, out, kernel, padding=kernel // 2, bias=False)


class TFCTDF(nn.Module):
    """TFC-TDF blocks in a row, of which the first changes the number of features.

    Args:
        width: input features.
        out: output features.
        bins: bins of the plane.
        bottleneck: bins per feature inside the linear layers.
        layers: normalization and activation.
        depth: number of blocks.
    """

    def __init__(
        self,
        width: int,
        out: int,
        bins: int,
        bottleneck: int,
        layers: PreActivation,
        depth: int,
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                TFCTDFBlock(out if number else width, out, bins, bottleneck, layers)
                for number in range(depth)
            )
        )

    def forward(self, x: Plane) -> PlaneOut:
        """The plane with other features."""
        return self.blocks(x)


class Rescaling(nn.Module):
    """Normalization, activation and a convolution to the frames and bins of another level.

    Args:
        kind: convolution or transposed convolution.
        width: input features.
        out: output features.
        scale: frames and bins of the finer level per frame and bin of the coarser one.
        layers: normalization and activation.
    """

    def __init__(
        self,
        kind: type[nn.Conv2d | nn.ConvTranspose2d],
        width: int,
        out: int,
        scale: tuple[int, int],
        layers: PreActivation,
    ) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *layers.before(width, kind(width, out, scale, stride=scale, bias=False))
        )

    def forward(self, x: Plane) -> Float[Tensor, "batch feature_out frame_out bin_out"]:
        """The plane of the other level."""
        return self.conv(x)
