"""Blocks of SCNet: bands compressed each by its own factor, and LSTMs along frequency and time.

Tong et al. 2024, SCNet: Sparse Compression Network for Music Source Separation (arXiv 2401.13276),
figures 2 and 3. Attributes have the names of the authors' code, which checkpoints hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.ops.tensors import full_precision

Plane = Float[Tensor, "batch feature freq frame"]
PlaneOut = Float[Tensor, "batch feature_out freq frame"]
BandOut = Float[Tensor, "batch feature_out _ frame"]
Compressed = Float[Tensor, "batch feature compressed frame"]
CompressedOut = Float[Tensor, "batch feature_out compressed frame"]
ModulationPlane = Float[Tensor, "batch doubled_feature freq modulation"]
Rows = Float[Tensor, "row feature frame"]


@dataclass(frozen=True)
class Subband:
    """Adjacent bins that one convolution compresses.

    Attributes:
        bins: number of bins.
        stride: bins per compressed bin.
        kernel: bins that the convolution covers, a multiple of ``stride``.
    """

    bins: int
    stride: int
    kernel: int

    @property
    def padding(self) -> tuple[int, int]:
        """Bins of zeros below and above, so that no bin is left over."""
        total = self.kernel - 1 if self.stride == 1 else -self.bins % self.stride
        return total // 2, total - total // 2

    @property
    def compressed(self) -> int:
        """Bins after the convolution; below 1 for a band that is too narrow."""
        return (self.bins + sum(self.padding) - self.kernel) // self.stride + 1


class TimeConvolutions(nn.Module):
    """Residual convolutions along time, for each row of bins alone.

    Args:
        width: features.
        depth: number of convolutions.
        compress: factor by which the features are reduced inside.
        kernel: frames that a convolution covers, an odd number.
    """

    def __init__(self, width: int, depth: int, compress: int, kernel: int) -> None:
        super().__init__()
        hidden, padding = width // compress, kernel // 2
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, width),
                nn.Conv1d(width, 2 * hidden, kernel, padding=padding),
                nn.GLU(dim=1),
                nn.Conv1d(hidden, hidden, kernel, padding=padding, groups=hidden),
                nn.GroupNorm(1, hidden),
                nn.SiLU(),
                nn.Conv1d(hidden, width, 1),
            )
            for _ in range(depth)
        )

    def forward(self, x: Rows) -> Rows:
        """Add the output of each layer to its input."""
        for layer in self.layers:
            x = x + layer(x)
        return x


class SparseDownsampling(nn.Module):
    """One convolution along frequency per band.

    Args:
        width: input features.
        out: output features.
        bands: the bands, from the lowest.
    """

    def __init__(self, width: int, out: int, bands: tuple[Subband, ...]) -> None:
        super().__init__()
        self.bands = bands
        self.convs = nn.ModuleList(
            nn.Conv2d(width, out, (band.kernel, 1), (band.stride, 1)) for band in bands
        )

    def forward(self, x: Plane) -> list[BandOut]:
        """The compressed bands."""
        parts = torch.split(x, [band.bins for band in self.bands], dim=2)
        return [
            conv(F.pad(part, (0, 0, *band.padding)))
            for conv, part, band in zip(self.convs, parts, self.bands, strict=True)
        ]


class SparseUpsampling(nn.Module):
    """One transposed convolution per band, back to the bins before :class:`SparseDownsampling`.

    Args:
        width: input features.
        out: output features.
        bands: the bands, from the lowest.
    """

    def __init__(self, width: int, out: int, bands: tuple[Subband, ...]) -> None:
        super().__init__()
        self.bands = bands
        self.convtrs = nn.ModuleList(
            nn.ConvTranspose2d(width, out, (band.kernel, 1), (band.stride, 1)) for band in bands
        )

    def forward(self, x: Compressed) -> PlaneOut:
        """All bins, without those that the convolutions padded."""
        parts = torch.split(x, [band.compressed for band in self.bands], dim=2)
        expanded = [
            conv(part).narrow(2, band.padding[0], band.bins)
            for conv, part, band in zip(self.convtrs, parts, self.bands, strict=True)
        ]
        return torch.cat(expanded, dim=2)


class SDBlock(nn.Module):
    """Sparse down-sampling, convolutions along time in each band, and one over all of them.

    Args:
        width: input features.
        out: output features.
        bands: the bands, from the lowest.
        depths: convolutions along time in each band.
        compress: factor by which those reduce the features inside.
        kernel: frames that each of those covers.
    """

    def __init__(
        self,
        width: int,
        out: int,
        bands: tuple[Subband, ...],
        depths: tuple[int, ...],
        compress: int,
        kernel: int,
    ) -> None:
        super().__init__()
        self.SDlayer = SparseDownsampling(width, out, bands)
        self.conv_modules = nn.ModuleList(
            TimeConvolutions(out, depth, compress, kernel) for depth in depths
        )
        self.globalconv = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Plane) -> tuple[CompressedOut, CompressedOut]:
        """The compressed plane, and the skip connection: the same before the last convolution."""
        rows = [rearrange(band, "b c f t -> (b f) c t") for band in self.SDlayer(x)]
        bands = [
            rearrange(convolutions(row), "(b f) c t -> b c f t", b=x.shape[0])
            for convolutions, row in zip(self.conv_modules, rows, strict=True)
        ]
        skip = F.gelu(torch.cat(bands, dim=2))
        return self.globalconv(skip), skip


class RepeatedConv(nn.Conv2d):
    """Convolution of two copies of its input, one behind the other along the features.

    By linearity that is one convolution with the sum of both halves of the kernel.
    """

    def forward(self, input: Plane) -> PlaneOut:
        """The convolution of ``torch.cat([input, input], dim=1)``."""
        first, second = self.weight.chunk(2, dim=1)
        return F.conv2d(input, first + second, self.bias, padding=self.padding)


class Fusion(nn.Module):
    """Gated convolution of the sum of a skip connection and the level below.

    Args:
        width: features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = RepeatedConv(2 * width, 2 * width, 3, padding=1)

    def forward(self, x: Plane) -> Plane:
        """The fused plane, of the same shape."""
        return F.glu(self.conv(x), dim=1)


class DualPathLSTM(nn.Module):
    """An LSTM over the bins of every frame, then one over the frames of every bin.

    Args:
        width: features.
        expand: features of a state per feature of the input.
    """

    def __init__(self, width: int, expand: int) -> None:
        super().__init__()
        hidden = expand * width
        # Each list holds the layers along frequency and those along time.
        self.lstm_layers = nn.ModuleList(
            nn.LSTM(width, hidden, bidirectional=True) for _ in range(2)
        )
        self.linear_layers = nn.ModuleList(nn.Linear(2 * hidden, width) for _ in range(2))
        self.norm_layers = nn.ModuleList(nn.GroupNorm(1, width) for _ in range(2))

    def forward(self, x: Plane) -> Plane:
        """The plane, with both outputs added."""
        for axis, order in enumerate(("f (b t) c", "t (b f) c")):
            sequences = rearrange(self.norm_layers[axis](x), f"b c f t -> {order}")
            states, _ = self.lstm_layers[axis](sequences)
            sizes = {"b": x.shape[0], "f": x.shape[2], "t": x.shape[3]}
            x = x + rearrange(self.linear_layers[axis](states), f"{order} -> b c f t", **sizes)
        return x


def fourier_basis(
    frames: int, device: torch.device
) -> tuple[Float[Tensor, "frame bin"], Float[Tensor, "frame bin"]]:
    """Cosines and sines of the orthonormal real Fourier transform.

    ONNX has such a transform too, but few programs run it.
    """
    steps, bins = (torch.arange(count, device=device) for count in (frames, frames // 2 + 1))
    count = steps[-1] + 1  # a tensor: ONNX has no numbers that depend on shapes
    turns = torch.outer(steps, bins) % count  # exact, unlike the sines of many turns
    angles = turns * (2 * math.pi) / count
    return angles.cos() / count.sqrt(), angles.sin() / count.sqrt()


def modulation_spectrum(x: Plane) -> ModulationPlane:
    """Real FFT of the features over time: the real parts, then the imaginary parts."""
    if torch.compiler.is_exporting():
        cosines, sines = fourier_basis(x.shape[-1], x.device)
        return torch.cat([x.float() @ cosines, -(x.float() @ sines)], dim=1)
    with full_precision(x):
        spectrum = torch.fft.rfft(x.float(), norm="ortho")
    return torch.cat([spectrum.real, spectrum.imag], dim=1)


def from_modulation_spectrum(x: ModulationPlane, frames: int) -> Plane:
    """Inverse of :func:`modulation_spectrum`."""
    real, imaginary = x.float().chunk(2, dim=1)
    if torch.compiler.is_exporting():
        cosines, sines = fourier_basis(frames, x.device)
        bins = torch.arange(frames // 2 + 1, device=x.device)
        # All bins but the first, and the last of an even number of frames, stand for two.
        twice = 1 + ((bins > 0) & (2 * bins != frames)).float()
        return (real * twice) @ cosines.mT - (imaginary * twice) @ sines.mT
    with full_precision(x):
        return torch.fft.irfft(torch.complex(real, imaginary), n=frames, norm="ortho")


class SeparationNet(nn.Module):
    """Dual-path LSTMs, in turn over the frames and over their modulation spectrum.

    Args:
        width: features.
        num_layers: number of :class:`DualPathLSTM`, even.
        expand: features of an LSTM's state per feature of its input.
    """

    def __init__(self, width: int, num_layers: int, expand: int) -> None:
        super().__init__()
        self.dp_modules = nn.ModuleList(
            DualPathLSTM(width * (1 + number % 2), expand) for number in range(num_layers)
        )

    def forward(self, x: Plane) -> Plane:
        """The plane, of the same shape."""
        layers = iter(self.dp_modules)
        for over_time, over_modulation in zip(layers, layers, strict=True):
            spectrum = over_modulation(modulation_spectrum(over_time(x)))
            x = from_modulation_spectrum(spectrum, x.shape[-1])
        return x
