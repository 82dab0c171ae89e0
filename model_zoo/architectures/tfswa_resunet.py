"""TFSWA-ResUNet: a residual U-Net of convolutions with attention at its bottleneck.

Yao, Su, Yang, Zhang and Wu 2025, EURASIP Journal on Advances in Signal Processing 2025:39, doi
10.1186/s13634-025-01249-0. The output is the magnitudes of a stem, not a mask, and gets the phase
of the mixture; the paper trains one network for each stem.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.plane_attention import (
    FrequencySequenceAttention,
    ShiftedWindowAttention,
    TemporalSequenceAttention,
    padded,
)
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

FAINTEST = 1e-12
"""Magnitude below which a bin of the mixture has no phase."""


@dataclass(frozen=True)
class TFSWAResUNetConfig(SpectralConfig):
    """Arguments of :class:`TFSWAResUNetSeparator`.

    Attributes:
        dims: features of each level, the outermost first.
        num_layers: residual convolution modules of each level, in encoder and decoder.
        bottleneck: attention blocks at the bottleneck.
        attention_window: frames and bins of an attention window.
        num_heads: attention heads.
        expansion: width factor inside the feed-forward parts.
        subbands: equal parts of the spectrum, which are channels of the network.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        audio_channels: 2 to process left and right together, 1 to process each on its own.
    """

    dims: tuple[int, ...] = (32, 64, 128, 256, 384)
    num_layers: int = 4
    bottleneck: int = 4
    attention_window: tuple[int, ...] = (5, 4)
    num_heads: int = 4
    expansion: int = 2
    subbands: int = 4
    window_size: int = 2048
    hop_size: int = 441
    sample_rate: int = 44_100
    audio_channels: int = 2
    segment: int = 132_300

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        window = self.attention_window
        rules = {
            "audio_channels must be 1 or 2": self.audio_channels not in (1, 2),
            "dims must list at least one level, each 1 or more": min(self.dims, default=0) < 1,
            "attention_window must be frames and bins, both 1 or more": (
                len(window) != 2 or min(window, default=0) < 1
            ),
        }
        found = super().mistakes() + broken(rules)
        return found or broken(
            {
                f"the last of dims must be a multiple of num_heads={self.num_heads}": (
                    self.dims[-1] % self.num_heads > 0
                ),
                f"window_size must be a multiple of {2 * self.subbands} (2 x subbands)": (
                    self.window_size % (2 * self.subbands) > 0
                ),
            }
        )


class RCM(nn.Module):
    """Residual convolution module: two 3x3 convolutions after normalization, and a shortcut.

    Args:
        in_channels: input features.
        out_channels: output features.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.GELU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.GELU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def forward(
        self, x: Float[Tensor, "batch channel frame freq"]
    ) -> Float[Tensor, "batch feature frame freq"]:
        """Plane with ``out_channels`` features."""
        return self.shortcut(x) + self.convolutions(x)


class SerialTFSWABlock(nn.Sequential):
    """Attention along time and frequency, then in windows and shifted windows, in series.

    The shortcuts around the last two are the residual branch of the paper.

    Args:
        width: features of the plane.
        num_heads: attention heads.
        window: frames and bins of a window; every second grid is shifted by half of it.
        expansion: width factor inside the feed-forward parts.
    """

    def __init__(self, width: int, num_heads: int, window: tuple[int, int], expansion: int) -> None:
        half = (window[0] // 2, window[1] // 2)
        super().__init__(
            OrderedDict(
                time=TemporalSequenceAttention(width, num_heads, expansion),
                freq=FrequencySequenceAttention(width, num_heads, expansion),
                window=ShiftedWindowAttention(width, num_heads, window, (0, 0), expansion),
                shifted=ShiftedWindowAttention(width, num_heads, window, half, expansion),
            )
        )


class TFSWAResUNet(nn.Module):
    """Magnitudes of the stems, with any sign, from those of the mixture.

    Planes of any size are padded with zeros until every level halves evenly.

    Args:
        in_channels: input values per bin: subbands times audio channels.
        out_channels: output values per bin.
        dims: features of each level, the outermost first.
        num_layers: residual convolution modules of each level, in encoder and decoder.
        bottleneck: attention blocks at the bottleneck.
        window: frames and bins of an attention window.
        num_heads: attention heads.
        expansion: width factor inside the feed-forward parts.
    """

    def __init__(
        self,
        in_channels: int = 8,
        out_channels: int = 8,
        dims: Sequence[int] = (32, 64, 128, 256, 384),
        num_layers: int = 4,
        bottleneck: int = 4,
        window: tuple[int, int] = (5, 4),
        num_heads: int = 4,
        expansion: int = 2,
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            _modules(*pair, num_layers) for pair in pairwise((in_channels, *dims))
        )
        self.bottleneck = nn.Sequential(
            *(SerialTFSWABlock(dims[-1], num_heads, window, expansion) for _ in range(bottleneck))
        )
        self.decoder = nn.ModuleList(
            _modules(2 * inner, outer, num_layers)
            for outer, inner in reversed([*pairwise((out_channels, *dims))])
        )

    def forward(
        self, x: Float[Tensor, "batch channel frame freq"]
    ) -> Float[Tensor, "batch value frame freq"]:
        """Values for every bin; their absolute values are the magnitudes of the stems."""
        side = 2 ** len(self.encoder)
        plane, planes = padded(x, (side, side)), []
        for level in self.encoder:
            plane = level(plane)
            planes.append(plane)
            plane = F.avg_pool2d(plane, 2)
        plane = self.bottleneck(plane)
        for level in self.decoder:
            plane = F.interpolate(plane, scale_factor=2.0, mode="bilinear")
            plane = level(torch.cat([plane, planes.pop()], dim=1))
        return plane[..., : x.shape[-2], : x.shape[-1]]


def _modules(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """Modules of one level; the first changes the number of features."""
    first = RCM(in_channels, out_channels)
    return nn.Sequential(first, *(RCM(out_channels, out_channels) for _ in range(count - 1)))


class SubbandFrontend(Frontend):
    """Magnitudes in subbands, for a core whose output is magnitudes of each stem.

    A magnitude is the absolute value of the output. Unlike a rectifier this has a gradient for all
    values, so that no subband stays silent for good, and silence can be reached. Nyquist is not
    part of the features, and silent in the stems.

    Args:
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        subbands: equal parts of the spectrum.
    """

    def __init__(self, window_size: int, hop_size: int, subbands: int) -> None:
        super().__init__(window_size, hop_size)
        self.subbands = subbands
        # Noise of level 1 then has magnitudes of about 1: the energy of a Hann window is 3/8.
        self.scale = (3 / 8 * window_size) ** -0.5

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch feature frame subfreq"]:
        """Magnitudes without Nyquist, with subbands and audio channels as one axis."""
        magnitudes = self.scale * spectrum[:, :, :-1].abs()
        return rearrange(magnitudes, "b c (k f) t -> b (k c) t f", k=self.subbands)

    def apply_output(
        self, spectrum: Spectrum, output: Float[Tensor, "batch feature frame subfreq"]
    ) -> Spectra:
        """Magnitudes of all subbands with the phase of the mixture."""
        pattern = "b (s k c) t f -> b s c (k f) t"
        sizes = {"k": self.subbands, "c": spectrum.shape[1]}
        magnitudes = with_nyquist(rearrange(output, pattern, **sizes).abs()) / self.scale
        phase = spectrum / spectrum.abs().clamp_min(FAINTEST)
        return magnitudes * phase[:, None]


class TFSWAResUNetSeparator(SpectralSeparator):
    """Magnitudes of each stem from :class:`TFSWAResUNet`, with the phase of the mixture.

    Takes the arguments of :class:`TFSWAResUNetConfig`.
    """

    Config = TFSWAResUNetConfig
    config: TFSWAResUNetConfig
    purpose = "one stem in stereo: convolutions with attention at the bottleneck, on magnitudes"
    documented_parameters = 44_435_744
    small_options: ClassVar[Mapping[str, Any]] = {
        **{"dims": (8, 16), "num_layers": 1, "bottleneck": 1, "num_heads": 2},
        **{"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "segment": 16_000},
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.audio_channels
        self.fourier = SubbandFrontend(config.window_size, config.hop_size, config.subbands)
        features = config.subbands * config.audio_channels
        frames, bins = config.attention_window
        self.network = TFSWAResUNet(
            features,
            features * len(config.stems),
            config.dims,
            config.num_layers,
            config.bottleneck,
            (frames, bins),
            config.num_heads,
            config.expansion,
        )

    def blocks(self) -> Iterator[nn.Module]:
        """Residual modules of every level, and the attention blocks of the bottleneck."""
        for part in parts_of(self.network):
            yield from part.children()
