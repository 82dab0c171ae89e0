"""SCNet (Tong et al. 2024, arXiv 2401.13276): three bands, each compressed by its own factor.

::

    mixture ─ STFT ─ re, im ─▶ SD block ─▶ SD block ─▶ SD block ─▶ dual-path LSTMs
                                 │skip       │skip       │skip            │
    stems ◀─ inverse STFT ◀─ SU block ◀─ SU block ◀─ SU block ◀───────────┘

A sparse down-sampling (SD) block splits the bins into a low, a middle and a high band. The low one
keeps its bins, the others are compressed, and longer convolutions along time work on the lower
ones. Every second pair of LSTMs sees the real FFT of the features over time. The decoder mirrors
the encoder; its output is the spectrogram of every stem or, in a later variant, a mask.

Tensor names are those of the authors' checkpoints, below ``network``.
https://github.com/starrytong/SCNet
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from model_zoo.axes import MonoWave, Wave
from model_zoo.blocks.sparse_compression import (
    Fusion,
    Plane,
    PlaneOut,
    SDBlock,
    SeparationNet,
    SparseUpsampling,
    Subband,
)
from model_zoo.config import broken
from model_zoo.ops.spectra import complex_product
from model_zoo.separator import Frontend, Spectra, SpectralConfig, SpectralSeparator, Spectrum

MASK_FEATURES = 64
"""Features between the two convolutions that turn the decoder's output into masks."""


@dataclass(frozen=True, kw_only=True)
class SCNetConfig(SpectralConfig):
    """Arguments of :class:`SCNet`; the defaults are those of the paper's smaller network.

    Attributes:
        stems: names of the sources, in the order of the published weights.
        audio_channels: 1, or 2 for a network that processes left and right together.
        widths: features of each level, from the outermost (the authors' ``dims`` without its first
            value, which is 2 per audio channel).
        band_ratios: shares of the bins in the low, middle and high band of every level. The high
            band gets what the others leave.
        band_strides: bins per compressed bin, in each band.
        band_kernels: bins that each band's convolution covers, multiples of ``band_strides``.
        conv_depths: residual convolutions along time in each band.
        compress: factor by which those convolutions reduce the features.
        conv_kernel: frames that each of them covers.
        num_layers: pairs of LSTMs along frequency and time, an even number.
        expand: features of an LSTM's state per feature of its input.
        normalized: divide the STFT by the square root of ``window_size``.
        output: ``"map"``: the output is the spectrogram of every stem, of a rectangular window.
            ``"mask"``: a complex mask with real and imaginary part in [-1, 1], from two more
            convolutions, multiplies the mixture's spectrogram of a Hann window; the network also
            learns an offset for every bin of its input (SCNet Masked of
            Music-Source-Separation-Training 1.0.16).
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        segment: length in samples that the network is trained on.
    """

    stems: tuple[str, ...] = ("drums", "bass", "other", "vocals")
    audio_channels: int = 2
    widths: tuple[int, ...] = (32, 64, 128)
    band_ratios: tuple[float, ...] = (0.175, 0.392, 0.433)
    band_strides: tuple[int, ...] = (1, 4, 16)
    band_kernels: tuple[int, ...] = (3, 4, 16)
    conv_depths: tuple[int, ...] = (3, 2, 1)
    compress: int = 4
    conv_kernel: int = 3
    num_layers: int = 6
    expand: int = 1
    normalized: bool = True
    output: Literal["map", "mask"] = "map"
    window_size: int = 4096
    hop_size: int = 1024
    sample_rate: int = 44_100
    segment: int = 485_100  # 11 s

    @property
    def values_per_bin(self) -> int:
        """Real and imaginary parts of all audio channels."""
        return 2 * self.audio_channels

    def levels(self) -> list[tuple[Subband, ...]]:
        """The three bands of each level, from the outermost."""
        bins, levels = self.window_size // 2 + 1, []
        for _ in self.widths:
            levels.append(self._subbands(bins))
            bins = sum(band.compressed for band in levels[-1])
        return levels

    def _subbands(self, bins: int) -> tuple[Subband, ...]:
        low, middle, _ = self.band_ratios
        edges = (0, math.ceil(bins * low), math.ceil(bins * (low + middle)), bins)
        sizes = (above - below for below, above in pairwise(edges))
        return tuple(
            Subband(*one) for one in zip(sizes, self.band_strides, self.band_kernels, strict=True)
        )

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        three = ("band_ratios", "band_strides", "band_kernels", "conv_depths")
        uneven = [
            f"{name} must have three values: the low, the middle and the high band"
            for name in three
            if len(getattr(self, name)) != 3
        ]
        return [*super().mistakes(), *(uneven or broken(self._rules()))] or self._too_narrow()

    def _rules(self) -> dict[str, bool]:
        bands = [*zip(self.band_kernels, self.band_strides, strict=True)]
        return {
            "audio_channels must be 1 or 2": self.audio_channels not in (1, 2),
            "band_ratios must be above 0 and add up to 1": min(self.band_ratios) <= 0
            or not abs(sum(self.band_ratios) - 1) < 1e-6,
            "band_strides must be at least 1": min(self.band_strides) < 1,
            "band_kernels must be multiples of band_strides": any(
                kernel < 1 or kernel % max(stride, 1) for kernel, stride in bands
            ),
            "conv_depths must be at least 1": min(self.conv_depths) < 1,
            "conv_kernel must be odd": self.conv_kernel % 2 == 0,
            "num_layers must be even: a layer over time, then one over its spectrum": (
                self.num_layers % 2 > 0
            ),
            f"widths must be at least compress={self.compress}": (
                min(self.widths, default=0) < max(self.compress, 1)
            ),
        }

    def _too_narrow(self) -> list[str]:
        for number, bands in enumerate(self.levels(), 1):
            if min(min(band.bins, band.compressed) for band in bands) < 1:
                return [f"window_size={self.window_size} leaves level {number} a band without bins"]
        return []


class SCNetCore(nn.Module):
    """Spectrogram of the mixture to those of the stems, or to their masks.

    Args:
        config: of the separator.
    """

    pos_embed_f: nn.Parameter | None

    def __init__(self, config: SCNetConfig) -> None:
        super().__init__()
        levels = config.levels()
        values, outputs = config.values_per_bin, config.values_per_bin * len(config.stems)
        widths = [*pairwise((values, *config.widths))]
        self.encoder = nn.ModuleList(
            SDBlock(*pair, bands, config.conv_depths, config.compress, config.conv_kernel)
            for pair, bands in zip(widths, levels, strict=True)
        )
        self.separation_net = SeparationNet(config.widths[-1], config.num_layers, config.expand)
        ups = [*pairwise((outputs, *config.widths))]
        self.decoder = nn.ModuleList(
            nn.Sequential(Fusion(width), SparseUpsampling(width, out, bands))
            for (out, width), bands in zip(reversed(ups), reversed(levels), strict=True)
        )
        self.register_parameter("pos_embed_f", None)
        if config.output == "mask":
            bins = config.window_size // 2 + 1
            self.pos_embed_f = nn.Parameter(torch.empty(1, values, bins, 1))
            nn.init.trunc_normal_(self.pos_embed_f, std=0.02)
            self.mask_layer = mask_layers(outputs)

    def forward(self, features: Plane) -> PlaneOut:
        """Real and imaginary parts of every channel of every stem, for each bin."""
        x = features if self.pos_embed_f is None else features + self.pos_embed_f
        skips = []
        for down in self.encoder:
            x, skip = down(x)
            skips.append(skip)
        x = self.separation_net(x)
        for up in self.decoder:
            x = up(x + skips.pop())
        return x if self.pos_embed_f is None else self.mask_layer(x)


def mask_layers(values: int) -> nn.Sequential:
    """Layers from the output of the decoder to masks between -1 and 1, for each bin."""
    return nn.Sequential(
        nn.Conv2d(values, MASK_FEATURES, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(MASK_FEATURES, values, 1),
        nn.Tanh(),
    )


class SCNetFrontend(Frontend):
    """Real and imaginary parts of an even number of frames, for a core that maps or masks them.

    Args:
        config: of the separator.
    """

    def __init__(self, config: SCNetConfig) -> None:
        super().__init__(config.window_size, config.hop_size)
        self.config = config
        if config.output == "map":
            self.window.fill_(1)  # the authors use torch.stft without a window
        if config.normalized:
            # The inverse STFT divides by the squared window, which undoes this as well.
            self.window.mul_(config.window_size**-0.5)

    def analyze(self, mixture: Wave | MonoWave) -> Spectrum:
        """Spectrogram of the mixture followed by silence, to the next odd number of hops.

        The FFT over time needs an even number of frames, which is one more. Like the authors, at
        least one sample of silence is added.
        """
        hops = mixture.shape[-1] // self.hop_length
        samples = (hops + 1 + hops % 2) * self.hop_length
        return super().analyze(F.pad(mixture, (0, samples - mixture.shape[-1])))

    def features(self, spectrum: Spectrum) -> Plane:
        """Real and imaginary part of each channel."""
        return rearrange(torch.view_as_real(spectrum), "b c f t m -> b (c m) f t")

    def apply_output(self, spectrum: Spectrum, output: PlaneOut) -> Spectra:
        """The output as spectrograms, or as masks of the mixture's."""
        channels = self.config.audio_channels
        values = rearrange(output.float(), "b (s c m) f t -> b s c f t m", c=channels, m=2)
        if self.config.output == "mask":
            return complex_product(spectrum.unsqueeze(1), values)
        return torch.view_as_complex(values.contiguous())


class SCNet(SpectralSeparator):
    """Spectrograms of all stems from bands of different resolution.

    Takes the arguments of :class:`SCNetConfig`. The authors' larger network has ``widths`` of
    (64, 128, 256) and ``band_ratios`` of (0.225, 0.372, 0.403).
    """

    Config = SCNetConfig
    config: SCNetConfig
    network: SCNetCore
    purpose = "drums, bass, voice and the rest at once: bands compressed unequally, then LSTMs"
    documented_parameters = 10_578_768
    grid = "msst"
    adds_up = False
    small_options: ClassVar[Mapping[str, Any]] = {
        **{"widths": (8, 12), "num_layers": 2, "conv_depths": (2, 1, 1), "stems": ("vocals",)},
        **{"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "segment": 8000},
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels = self.config.audio_channels
        self.fourier = SCNetFrontend(self.config)
        self.network = SCNetCore(self.config)

    def blocks(self) -> Iterator[nn.Module]:
        """Blocks of the encoder and the decoder, each pair of LSTMs, and the layers of masks.

        With masks, the offset of the input, one tensor, is in none of them.
        """
        yield from self.network.encoder
        yield from self.network.separation_net.dp_modules
        yield from self.network.decoder
        yield from (self.network.mask_layer,) if self.config.output == "mask" else ()
