"""Hybrid Demucs: two U-Nets, over spectrogram and waveform, that share their lowest levels.

::

    spectrogram ─ encoder ──▶┐                ┌─▶ decoder ─── inverse STFT ─┐
                             + ─ lower levels ┤                             + ─▶ stems
    waveform ──── tencoder ─▶┘                └─▶ tdecoder ─────────────────┘

The lower levels have LSTMs and local attention in their residual branches.

Défossez 2021, Hybrid Spectrogram and Waveform Source Separation (ISMIR Music Demixing Workshop,
arXiv 2111.03600), Demucs v3, with the tensor names of the author's checkpoints.
https://github.com/facebookresearch/demucs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from model_zoo.blocks.hybrid import (
    STRIDE,
    BranchEnd,
    BranchStart,
    DecoderLevel,
    EncoderLevel,
    FrequencyEmbedding,
    HybridFourier,
    LevelOptions,
    rescale,
    standardize,
    to_planes,
    to_spectra,
    to_stems,
)
from model_zoo.blocks.hybrid_bands import (
    BANDED,
    BandedDecoderLevel,
    BandedEncoderLevel,
    decoder_edges,
    encoder_edges,
)
from model_zoo.config import broken
from model_zoo.separator import Separator, SpectralConfig

Planes = Float[Tensor, "batch plane freq frame"]
StemPlanes = Float[Tensor, "batch stem_plane freq frame"]
StemChannels = Float[Tensor, "batch stem_channel time"]
Steps = Float[Tensor, "batch feature frame"]
MixtureSpectrum = Complex[Tensor, "batch channel freq frame"]
StemSpectra = Complex[Tensor, "batch stem channel freq frame"]

DConvMode = Literal["encoder", "decoder", "both"]

DEEPEST = 16
"""Most levels; below the one at which a window has one bin, each one halves the frames."""

WINDOWS = {STRIDE ** (levels + 1): levels for levels in range(2, 9)}
"""Windows whose bins become one at the level at which a step over time is a hop, and the number of
levels down to there."""

OUTER = LevelOptions("freq")
MEETING = LevelOptions("freq", padding=0)
INNER = LevelOptions("time", kernel=4, stride=2, padding=1)


@dataclass(frozen=True, kw_only=True)
class HybridConfig(SpectralConfig):
    """Options of both versions of hybrid Demucs.

    Levels are counted from 0, which is the one next to spectrogram and waveform.

    Attributes:
        stems: names of the sources, in order.
        audio_channels: channels of mixtures and stems, 1 or 2.
        channels: features of level 0; each level has twice as many as the one above.
        depth: levels of a U-Net, each of which divides bins or samples by 4.
        window_size: STFT window in samples (``nfft``); the hop is a quarter of it.
        dconv_mode: where levels have residual branches.
        dconv_depth: residual branches of a level.
        dconv_comp: features of a level divided by those inside its residual branches.
        sample_rate: sample rate in Hz.
        segment: length in samples that the network is trained on.
    """

    stems: tuple[str, ...] = ("drums", "bass", "other", "vocals")
    audio_channels: int = 2
    channels: int = 48
    depth: int = 6
    window_size: int = 4096
    dconv_mode: DConvMode = "encoder"
    dconv_depth: int = 2
    dconv_comp: int = 4
    sample_rate: int = 44_100
    segment: int = 441_000  # 10 s

    @property
    def hop_size(self) -> int:
        """Samples between two frames."""
        return self.window_size // 4

    @property
    def widths(self) -> tuple[int, ...]:
        """Features of every level."""
        return tuple(self.channels << level for level in range(self.depth))


@dataclass(frozen=True, kw_only=True)
class HDemucsConfig(HybridConfig):
    """Arguments of :class:`HDemucs`; the defaults are those of the author's ``hdemucs_mmi``.

    The window is a power of 4. Levels below the one with a single bin halve the frames.

    Attributes:
        output: ``"spectrum"``: real and imaginary parts, also as input (``cac``, complex as
            channels); ``"magnitude"``: magnitudes, which get the phase of the mixture.
        hybrid_old: see :class:`~model_zoo.blocks.hybrid.HybridFourier`.
        multi_freqs: shares of the bins, from 0 to 1, at which they are split into bands with
            weights of their own.
        multi_freqs_depth: number of levels that have such bands.
        freq_emb: factor of what is learned for each bin and added at level 0; 0 leaves it out.
        norm_starts: first level with normalization.
        dconv_lstm: first level with LSTMs in its residual branches.
        dconv_attn: first level with attention in its residual branches.
    """

    output: Literal["spectrum", "magnitude"] = "spectrum"
    hybrid_old: bool = False
    multi_freqs: tuple[float, ...] = ()
    multi_freqs_depth: int = 3
    freq_emb: float = 0.2
    norm_starts: int = 4
    dconv_lstm: int = 4
    dconv_attn: int = 4

    @property
    def meeting(self) -> int:
        """Level at which the two U-Nets meet."""
        return WINDOWS[self.window_size] - 1

    @property
    def planes(self) -> int:
        """Planes of the spectrogram."""
        return self.audio_channels * (2 if self.output == "spectrum" else 1)

    @property
    def banded_levels(self) -> int:
        """Number of levels with bands."""
        return self.multi_freqs_depth if self.multi_freqs else 0

    def level(
        self, level: int, part: Literal["encoder", "decoder"], *, over_time: bool = False
    ) -> LevelOptions:
        """Options of a level.

        Args:
            level: number of the level.
            part: side of the U-Net.
            over_time: whether it is one of the U-Net over the waveform.
        """
        branches = {
            **{"compress": self.dconv_comp, "depth": self.dconv_depth},
            **{"has_lstm": level >= self.dconv_lstm, "has_attention": level >= self.dconv_attn},
        }
        if over_time:
            kind = LevelOptions("time")
        elif level < self.banded_levels:
            kind = BANDED
        else:
            kind = OUTER if level < self.meeting else MEETING if level == self.meeting else INNER
        dconv = branches if self.dconv_mode in (part, "both") else {}
        return replace(kind, has_norm=level >= self.norm_starts, dconv=dconv)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        found = super().mistakes()
        if found:
            return found
        levels = WINDOWS.get(self.window_size)
        if levels is None:
            allowed = ", ".join(map(str, WINDOWS))
            return [f"window_size must be one of {allowed}, found {self.window_size}"]
        if not levels <= self.depth <= DEEPEST:
            limits = f"from {levels} to {DEEPEST} for window_size={self.window_size}"
            return [f"depth must be {limits}, found {self.depth}"]
        return broken(self._rules())

    def _rules(self) -> dict[str, bool]:
        outer = min(self.meeting, self.norm_starts)
        attended = self.channels << min(self.dconv_attn, self.depth)
        return {
            f"audio_channels must be 1 or 2, found {self.audio_channels}": self.audio_channels > 2,
            f"channels must be a multiple of 4 and dconv_comp={self.dconv_comp} or more, found "
            f"{self.channels}": self.channels % 4 > 0 or self.channels < self.dconv_comp,
            f"channels of level dconv_attn={self.dconv_attn} must be a multiple of "
            f"4 * dconv_comp, found {attended}": (
                self.dconv_attn < self.depth and attended % (4 * self.dconv_comp) > 0
            ),
            f"multi_freqs_depth must be at most {outer} with multi_freqs, found "
            f"{self.multi_freqs_depth}": bool(self.multi_freqs) and self.multi_freqs_depth > outer,
            f"multi_freqs={[*self.multi_freqs]} leaves no bins for a band": self._has_empty_bands(),
        }

    def _has_empty_bands(self) -> bool:
        """Whether edges do not increase, or are too close to each other for some level."""
        above = [self.window_size // 2 // STRIDE**level for level in range(self.banded_levels)]
        edges = [
            *(encoder_edges(bins, self.multi_freqs) for bins in above),
            *(decoder_edges(bins // STRIDE, self.multi_freqs) for bins in above),
        ]
        return any(start >= end for each in edges for start, end in pairwise(each))


class HDemucsCore(nn.Module):
    """Spectrogram and waveform of a mixture to those of its stems, which are to be added.

    Args:
        config: of the separator.
    """

    def __init__(self, config: HDemucsConfig) -> None:
        super().__init__()
        stems, meeting, over_time = len(config.stems), config.meeting, {"over_time": True}
        above, lowest = config.widths[meeting - 1 : meeting + 1]
        end = BranchEnd(above, lowest, config.level(meeting, "encoder", **over_time))
        start = BranchStart(lowest, above, config.level(meeting, "decoder", **over_time))
        mixture, outputs = config.audio_channels, stems * config.audio_channels
        self.meeting = meeting
        self.encoder = nn.ModuleList(encoder(config, config.planes, config.depth))
        self.decoder = nn.ModuleList(decoder(config, stems * config.planes, config.depth))
        self.tencoder = nn.ModuleList([*encoder(config, mixture, meeting, **over_time), end])
        self.tdecoder = nn.ModuleList([start, *decoder(config, outputs, meeting, **over_time)])
        sizes = (config.window_size // 2 // STRIDE, config.channels, config.freq_emb)
        self.freq_emb = FrequencyEmbedding(*sizes) if config.freq_emb else nn.Identity()
        rescale(self)

    def forward(self, planes: Planes, wave: Wave) -> tuple[StemPlanes, StemChannels]:
        """Standardized planes and waveforms of all stems from those of the mixture."""
        x, xt = planes, wave
        skips: list[Tensor] = []
        skips_t: list[Tensor] = []
        lengths: list[int] = []
        for level in range(self.meeting):
            lengths.append(xt.shape[-1])
            x, xt = self.encoder[level](x), self.tencoder[level](xt)
            x = self.freq_emb(x) if level == 0 else x
            skips.append(x)
            skips_t.append(xt)
        lengths.append(xt.shape[-1])
        both = self.encoder[self.meeting](x, self.tencoder[self.meeting](xt))
        both = self._below(both.squeeze(2)).unsqueeze(2) + both
        x, features = self.decoder[-1 - self.meeting](both)
        xt = self.tdecoder[0](features, lengths.pop())
        outer = zip([*self.decoder][-self.meeting :], [*self.tdecoder][1:], strict=True)
        for decode, decode_t in outer:
            x, _ = decode(x + skips.pop())
            xt, _ = decode_t(xt + skips_t.pop(), lengths.pop())
        return x, xt

    def _below(self, both: Steps) -> Steps:
        """Output of the levels below the one at which the U-Nets meet; nothing without them."""
        x, skips = both, []
        for encode in [*self.encoder][self.meeting + 1 :]:
            skips.append(x)
            x = encode(x)
        above = torch.zeros_like(x)
        for decode in [*self.decoder][: -1 - self.meeting]:
            skip = skips.pop()
            above, _ = decode(x + above, skip.shape[-1])
            x = skip
        return above


def encoder(
    config: HDemucsConfig, planes: int, depth: int, *, over_time: bool = False
) -> list[nn.Module]:
    """Levels from the planes or channels of the mixture downwards."""
    levels: list[nn.Module] = []
    for level, (width, out) in enumerate(pairwise((planes, *config.widths[:depth]))):
        options = config.level(level, "encoder", over_time=over_time)
        levels.append(
            BandedEncoderLevel(width, out, options, config.multi_freqs)
            if level < config.banded_levels and not over_time
            else EncoderLevel(width, out, options)
        )
    return levels


def decoder(
    config: HDemucsConfig, planes: int, depth: int, *, over_time: bool = False
) -> list[nn.Module]:
    """Levels up to the planes or channels of all stems."""
    levels: list[nn.Module] = []
    for level, (out, width) in enumerate(pairwise((planes, *config.widths[:depth]))):
        options = config.level(level, "decoder", over_time=over_time)
        levels.append(
            BandedDecoderLevel(width, out, options, config.multi_freqs, is_last=level == 0)
            if level < config.banded_levels and not over_time
            else DecoderLevel(width, out, options, is_last=level == 0)
        )
    return levels[::-1]


def hybrid_texts(planes: str) -> dict[str, str]:
    """What the inputs of a hybrid core are, and how its outputs give stems.

    Args:
        planes: what the planes of a spectrogram hold.
    """
    return {
        "features": f"{planes} of each channel, without the highest bin, with mean 0 and"
        " deviation 1 over all of them",
        "wave": "the mixture with mean 0 and deviation 1",
        "output": f"{planes} of each channel of each stem, and a waveform of each channel of each"
        " stem; give each the deviation and mean that the input had, take the inverse transform"
        " of the first, and add the second",
    }


class HDemucs(Separator):
    """Stems as the sum of the outputs of two U-Nets that share their lowest levels.

    Takes the arguments of :class:`HDemucsConfig`.
    """

    Config = HDemucsConfig
    config: HDemucsConfig
    purpose = "four stems: U-Nets over spectrogram and waveform with LSTMs and local attention"
    documented_parameters = 83_637_832
    grid = "hdemucs"
    level = "standard"
    adds_up = False
    core_has_fixed_length = True
    small_options: ClassVar[Mapping[str, Any]] = {
        **{"channels": 8, "depth": 4, "window_size": 256, "norm_starts": 2, "dconv_lstm": 2},
        **{"dconv_attn": 2, "dconv_comp": 4, "sample_rate": 16_000, "segment": 2048},
        "stems": ("vocals", "drums"),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.sample_rate, self.segment = config.sample_rate, config.segment
        self.stems, self.channels = config.stems, config.audio_channels
        self.fourier = HybridFourier(config.window_size, hybrid_old=config.hybrid_old)
        for name, part in self.core.named_children():
            self.add_module(name, part)

    @cached_property
    def core(self) -> HDemucsCore:
        """The network between the transforms; not registered, so tensor names lack ``core``."""
        return HDemucsCore(self.config)

    def core_texts(self) -> dict[str, str]:
        """What the inputs of the core are, and how its outputs give stems."""
        is_spectrum = self.config.output == "spectrum"
        return hybrid_texts("real and imaginary parts" if is_spectrum else "magnitudes")

    def forward(self, mixture: Wave) -> Stems:
        """Separate a batch of mixtures of one window or more."""
        spectrum = self.fourier.analyze(mixture)
        planes, wave = standardize(self._planes(spectrum)), standardize(mixture)
        output, output_t = self.run_core(planes.values, wave.values)
        spectra = self._spectra(spectrum, planes.restore(output))
        waves = to_stems(wave.restore(output_t), len(self.stems))
        return self.fourier.synthesize(spectra, mixture.shape[-1]) + waves

    def _planes(self, spectrum: MixtureSpectrum) -> Planes:
        """Input of the U-Net over frequency."""
        return to_planes(spectrum) if self.config.output == "spectrum" else spectrum.abs()

    def _spectra(self, mixture: MixtureSpectrum, planes: StemPlanes) -> StemSpectra:
        """Spectrograms of the stems from the output of the U-Net over frequency."""
        if self.config.output == "spectrum":
            return to_spectra(planes, len(self.stems))
        magnitudes = to_stems(planes, len(self.stems))
        phase = mixture.angle().masked_fill(mixture == 0, 0)  # that of -0 is 180 degrees
        return torch.polar(magnitudes, phase.unsqueeze(1).expand_as(magnitudes))
