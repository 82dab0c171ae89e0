"""MDX23C (Kim and Lee 2023, arXiv 2306.09382): a U-Net from one spectrogram to those of the stems.

::

    mixture ─ STFT ─ subbands ─┬─ 1x1 ─┬─▶ U-Net of TFC-TDF blocks ─▶ times ─▶ beside ─ 1x1 ─▶ stems
                               │       └────────────────────────────────┘         │
                               └──────────────────────────────────────────────────┘

The lower bins of the spectrogram are cut into equal subbands, which become channels. In a TFC-TDF
block, convolutions see the neighbourhood of each bin (time-frequency convolutions), linear layers
all bins of a frame (time-distributed fully connected). KUIELab's TFC-TDF v3 took part in the Sound
Demixing Challenge 2023 (arXiv 2308.06979). Tensor names, below ``network``, are those of the
published weights.
https://github.com/kuielab/sdx23
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import MonoWave, Wave
from model_zoo.blocks.tfc_tdf import (
    ACTIVATION,
    NORM,
    TFCTDF,
    Plane,
    PlaneOut,
    PreActivation,
    Rescaling,
    convolution,
)
from model_zoo.config import broken
from model_zoo.separator import Frontend, Spectra, SpectralConfig, SpectralSeparator, Spectrum

DEEPEST = 16
"""Most scales; one more would halve 65,536 frames to less than one."""


@dataclass(frozen=True, kw_only=True)
class MDX23CConfig(SpectralConfig):
    """Arguments of :class:`MDX23C`; the defaults are those of the published 8KFFT-InstVoc_HQ.

    Attributes:
        stems: names of the sources, in the order of the published weights.
        audio_channels: 1, or 2 for a network that processes left and right together.
        num_bins: bins of the spectrogram that the network sees, from 0 Hz upwards (``dim_f``). The
            stems have nothing above them.
        num_subbands: equal bands that become channels.
        num_scales: levels of the U-Net above the lowest.
        scale: frames and bins of one level per frame and bin of the next.
        num_blocks: TFC-TDF blocks in a row at every level, on each way.
        hidden_channels: features of the first level.
        growth: features that each level has more than the one above.
        bottleneck_factor: factor by which the linear layers over frequency reduce the bins inside.
        norm: ``"BatchNorm"``, ``"InstanceNorm"`` or ``"GroupNorm"`` with a number of groups behind.
        activation: ``"gelu"``, ``"relu"`` or ``"elu"`` with its alpha behind, as in ``"elu1.0"``.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        segment: length in samples that the network is trained on; the default is 256 frames.
    """

    stems: tuple[str, ...] = ("vocals", "instrumental")
    audio_channels: int = 2
    num_bins: int = 4096
    num_subbands: int = 4
    num_scales: int = 5
    scale: tuple[int, ...] = (2, 2)
    num_blocks: int = 2
    hidden_channels: int = 128
    growth: int = 128
    bottleneck_factor: int = 4
    norm: str = "InstanceNorm"
    activation: str = "gelu"
    window_size: int = 8192
    hop_size: int = 1024
    sample_rate: int = 44_100
    segment: int = 261_120  # 5.92 s

    @property
    def values_per_bin(self) -> int:
        """Real and imaginary part of each subband of each audio channel."""
        return 2 * self.audio_channels * self.num_subbands

    @property
    def frame_multiple(self) -> int:
        """Frames of the spectrogram per frame of the lowest level."""
        return self.scale[0] ** self.num_scales

    @property
    def bin_multiple(self) -> int:
        """Bins of the spectrogram per bin of the lowest level."""
        return self.num_subbands * self.scale[1] ** self.num_scales

    @property
    def layers(self) -> PreActivation:
        """Normalization and activation in front of each layer."""
        return PreActivation(self.norm, self.activation)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        if len(self.scale) != 2 or min(self.scale) < 1 or self.num_scales > DEEPEST:
            return [
                f"scale must be two numbers of at least 1, and num_scales at most {DEEPEST}, found "
                f"{list(self.scale)} and {self.num_scales}"
            ]
        return super().mistakes() or broken(self._rules())

    def _rules(self) -> dict[str, bool]:
        bins, multiple = self.window_size // 2 + 1, self.bin_multiple
        norm = NORM.fullmatch(self.norm)
        groups = int((norm and norm[1]) or 1)
        return {
            "audio_channels must be 1 or 2": self.audio_channels not in (1, 2),
            f"num_bins must be at most the {bins} of window_size={self.window_size}, "
            f"found {self.num_bins}": self.num_bins > bins,
            f"num_bins must be a multiple of {multiple} for num_subbands={self.num_subbands} and "
            f"num_scales={self.num_scales}, found {self.num_bins}": self.num_bins % multiple > 0,
            f"bottleneck_factor must be at most {self.num_bins // multiple}, the bins of the "
            f"lowest level, found {self.bottleneck_factor}": (
                self.bottleneck_factor > self.num_bins // multiple
            ),
            f"norm must be BatchNorm, InstanceNorm or GroupNorm with a number of groups behind, "
            f"found {self.norm}": norm is None,
            f"hidden_channels and growth must be multiples of the {groups} groups of norm": (
                self.hidden_channels % groups + self.growth % groups > 0
            ),
            f"activation must be gelu, relu or elu with its alpha behind, "
            f"found {self.activation}": ACTIVATION.fullmatch(self.activation) is None,
        }


def blocks(width: int, out: int, bins: int, config: MDX23CConfig) -> TFCTDF:
    """TFC-TDF blocks of a level, from ``width`` to ``out`` features."""
    factor, layers = config.bottleneck_factor, config.layers
    return TFCTDF(width, out, bins, factor, layers, config.num_blocks)


def rescaling(
    kind: type[nn.Conv2d | nn.ConvTranspose2d], width: int, out: int, config: MDX23CConfig
) -> Rescaling:
    """The way from one level to the next, or back."""
    return Rescaling(kind, width, out, (config.scale[0], config.scale[1]), config.layers)


class EncoderBlock(nn.Module):
    """TFC-TDF blocks of a level, and the way to the next.

    Args:
        width: features of the level.
        bins: bins of the level.
        config: of the separator.
    """

    def __init__(self, width: int, bins: int, config: MDX23CConfig) -> None:
        super().__init__()
        self.tfc_tdf = blocks(width, width, bins, config)
        self.downscale = rescaling(nn.Conv2d, width, width + config.growth, config)

    def forward(self, x: Plane) -> tuple[Float[Tensor, "batch wider less fewer"], Plane]:
        """The plane of the next level, and the skip connection of this one."""
        skip = self.tfc_tdf(x)
        return self.downscale(skip), skip


class DecoderBlock(nn.Module):
    """The way up to a level, and its TFC-TDF blocks.

    Args:
        width: features of the level.
        bins: bins of the level.
        config: of the separator.
    """

    def __init__(self, width: int, bins: int, config: MDX23CConfig) -> None:
        super().__init__()
        self.upscale = rescaling(nn.ConvTranspose2d, width + config.growth, width, config)
        self.tfc_tdf = blocks(2 * width, width, bins, config)

    def forward(self, x: Float[Tensor, "batch wider less fewer"], skip: Plane) -> Plane:
        """The plane of this level from that of the next and the skip connection."""
        return self.tfc_tdf(torch.cat([self.upscale(x), skip], dim=1))


class MDX23CCore(nn.Module):
    """Spectrogram of the mixture in subbands to those of all stems.

    Args:
        config: of the separator.
    """

    def __init__(self, config: MDX23CConfig) -> None:
        super().__init__()
        values, width = config.values_per_bin, config.hidden_channels
        bins = config.num_bins // config.num_subbands
        levels = [
            (width + level * config.growth, bins // config.scale[1] ** level, config)
            for level in range(config.num_scales + 1)
        ]
        *upper, lowest = levels
        self.first_conv = convolution(values, width, 1)
        self.encoder_blocks = nn.ModuleList(EncoderBlock(*level) for level in upper)
        self.bottleneck_block = blocks(lowest[0], *lowest)
        self.decoder_blocks = nn.ModuleList(DecoderBlock(*level) for level in reversed(upper))
        self.final_conv = nn.Sequential(
            convolution(width + values, width, 1),
            config.layers.activate(),
            convolution(width, len(config.stems) * values, 1),
        )

    def forward(self, features: Plane) -> PlaneOut:
        """Real and imaginary part of each subband of each channel of each stem."""
        first = self.first_conv(features)
        x, skips = first, []
        for down in self.encoder_blocks:
            x, skip = down(x)
            skips.append(skip)
        x = self.bottleneck_block(x)
        for up in self.decoder_blocks:
            x = up(x, skips.pop())
        return self.final_conv(torch.cat([features, x * first], dim=1))


class MDX23CFrontend(Frontend):
    """Subbands of the lower bins, for a core whose output is the spectrograms of the stems.

    Args:
        config: of the separator.
    """

    def __init__(self, config: MDX23CConfig) -> None:
        super().__init__(config.window_size, config.hop_size)
        self.config = config

    def analyze(self, mixture: Wave | MonoWave) -> Spectrum:
        """Spectrogram of the mixture and of silence after it, in frames for whole lowest levels."""
        frames = 1 - (-mixture.shape[-1] // self.hop_length)
        frames += -frames % self.config.frame_multiple
        samples = (frames - 1) * self.hop_length
        return super().analyze(F.pad(mixture, (0, samples - mixture.shape[-1])))

    def features(self, spectrum: Spectrum) -> Plane:
        """Real and imaginary part of each subband of each channel."""
        values = torch.view_as_real(spectrum[..., : self.config.num_bins, :])
        return rearrange(values, "b c (k f) t m -> b (c m k) t f", k=self.config.num_subbands)

    def apply_output(self, spectrum: Spectrum, output: PlaneOut) -> Spectra:
        """The output as spectrograms, with nothing above the bins that the network sees."""
        values = rearrange(
            output.float(),
            "b (s c m k) t f -> b s c (k f) t m",
            c=self.config.audio_channels,
            m=2,
            k=self.config.num_subbands,
        )
        above = spectrum.shape[-2] - self.config.num_bins
        return F.pad(torch.view_as_complex(values.contiguous()), (0, 0, 0, above))


class MDX23C(SpectralSeparator):
    """Spectrograms of all stems from a U-Net over subbands.

    Takes the arguments of :class:`MDX23CConfig`.
    """

    Config = MDX23CConfig
    config: MDX23CConfig
    network: MDX23CCore
    purpose = "voice, drums piece by piece, reverb: a large U-Net with linear layers over bins"
    documented_parameters = 111_990_272
    grid = "msst"
    adds_up = False
    small_options: ClassVar[Mapping[str, Any]] = {
        **{"num_bins": 128, "num_subbands": 2, "num_scales": 3, "num_blocks": 2},
        **{"hidden_channels": 8, "growth": 4, "bottleneck_factor": 2, "stems": ("vocals",)},
        **{"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "segment": 8000},
    }
    # Blocks have no identity shortcut, so that the rounding errors of all of them add up.
    needs_float32 = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels = self.config.audio_channels
        self.fourier = MDX23CFrontend(self.config)
        self.network = MDX23CCore(self.config)
