"""Hybrid Transformer Demucs: two U-Nets, over spectrogram and waveform, joined by a transformer.

::

    spectrogram ─ encoder ──▶┐              ┌─▶ decoder ─── inverse STFT ─┐
                             │ transformer  │                             + ─▶ stems
    waveform ──── tencoder ─▶┘              └─▶ tdecoder ─────────────────┘

Rouard, Massa and Défossez 2023, Hybrid Transformers for Music Source Separation (ICASSP,
arXiv 2211.08553), with the tensor names of the authors' checkpoints.
https://github.com/facebookresearch/demucs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.hdemucs import DConvMode, HybridConfig, hybrid_texts
from model_zoo.axes import Stems, Wave
from model_zoo.blocks.cross_transformer import CrossTransformer
from model_zoo.blocks.hybrid import (
    KERNEL,
    STRIDE,
    DecoderLevel,
    EncoderLevel,
    FrequencyEmbedding,
    HybridFourier,
    LevelOptions,
    Planes,
    rescale,
    standardize,
    to_planes,
    to_spectra,
    to_stems,
)
from model_zoo.config import broken
from model_zoo.separator import Separator

StemPlanes = Float[Tensor, "batch stem_plane freq frame"]
StemChannels = Float[Tensor, "batch stem_channel time"]

Axis = Literal["freq", "time"]

DEEPEST = 8
"""Most levels; with one more, even a window of a million samples had no bins left."""

EMBEDDING_WEIGHT = 0.2
"""Factor of what is learned for each bin."""


@dataclass(frozen=True, kw_only=True)
class HTDemucsConfig(HybridConfig):
    """Arguments of :class:`HTDemucs`; the defaults are those of the authors' ``htdemucs``.

    Mixtures that are shorter than ``segment`` are padded to it with zeros, but for training.

    Attributes:
        bottom_channels: width of the transformer's tokens; None for that of the lowest level.
        t_layers: layers of the transformer for each of the two U-Nets.
        t_heads: attention heads.
        t_hidden_scale: width inside feedforward branches divided by that of a token.
        t_dropout: dropout probability of the transformer in training.
    """

    depth: int = 4
    dconv_mode: DConvMode = "both"
    dconv_comp: int = 8
    segment: int = 343_980  # 7.8 s
    bottom_channels: int | None = 512
    t_layers: int = 5
    t_heads: int = 8
    t_hidden_scale: float = 4.0
    t_dropout: float = 0.02

    @property
    def token_width(self) -> int:
        """Features of a token of the transformer."""
        return self.bottom_channels or self.widths[-1]

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        found = super().mistakes()
        if found or self.depth > DEEPEST:
            return found or [f"depth must be at most {DEEPEST}, found {self.depth}"]
        above = STRIDE ** (self.depth - 1)
        width, bins = self.token_width, self.window_size / 2
        option = "bottom_channels" if self.bottom_channels else "channels of the lowest level"
        rules = {
            f"audio_channels must be 1 or 2, found {self.audio_channels}": self.audio_channels > 2,
            f"window_size must be a multiple of {2 * STRIDE * above} above {2 * KERNEL * above} "
            f"for depth={self.depth}, found {self.window_size}": (
                bins % (STRIDE * above) > 0 or bins <= KERNEL * above
            ),
            f"channels must be dconv_comp={self.dconv_comp} or more, found {self.channels}": (
                self.channels < self.dconv_comp
            ),
            f"{option} must be a multiple of 4 and of t_heads={self.t_heads}, found {width}": (
                width < 4 or width % 4 > 0 or width % self.t_heads > 0
            ),
            f"t_hidden_scale={self.t_hidden_scale} leaves no feature": (
                not width * self.t_hidden_scale >= 1
            ),
            f"t_dropout must be in [0, 1), found {self.t_dropout}": not 0 <= self.t_dropout < 1,
        }
        return broken(rules)


class HTDemucsCore(nn.Module):
    """Spectrogram and waveform of a mixture to those of its stems, which are to be added.

    Args:
        config: of the separator.
    """

    def __init__(self, config: HTDemucsConfig) -> None:
        super().__init__()
        widths = config.widths
        self.encoder = encoder("freq", 2 * config.audio_channels, config)
        self.decoder = decoder("freq", 2 * config.audio_channels, config)
        self.tencoder = encoder("time", config.audio_channels, config)
        self.tdecoder = decoder("time", config.audio_channels, config)
        self.freq_emb = FrequencyEmbedding(
            config.window_size // 2 // STRIDE, widths[0], EMBEDDING_WEIGHT
        )
        rescale(self)
        bottom, tokens = widths[-1], config.token_width
        self.channel_upsampler = projection(bottom, config.bottom_channels)
        self.channel_downsampler = projection(config.bottom_channels, bottom)
        self.channel_upsampler_t = projection(bottom, config.bottom_channels)
        self.channel_downsampler_t = projection(config.bottom_channels, bottom)
        self.crosstransformer = CrossTransformer(
            *(tokens, config.t_layers, config.t_heads),
            *(int(tokens * config.t_hidden_scale), config.t_dropout),
        )

    def forward(self, planes: Planes, wave: Wave) -> tuple[StemPlanes, StemChannels]:
        """Standardized planes and waveforms of all stems from those of the mixture."""
        x, xt = planes, wave
        skips: list[Tensor] = []
        skips_t: list[Tensor] = []
        lengths: list[int] = []
        for level, (encode, encode_t) in enumerate(zip(self.encoder, self.tencoder, strict=True)):
            lengths.append(xt.shape[-1])
            x, xt = encode(x), encode_t(xt)
            x = self.freq_emb(x) if level == 0 else x
            skips.append(x)
            skips_t.append(xt)
        x, xt = self._transformed(x, xt)
        for decode, decode_t in zip(self.decoder, self.tdecoder, strict=True):
            x, _ = decode(x + skips.pop())
            xt, _ = decode_t(xt + skips_t.pop(), lengths.pop())
        return x, xt

    def _transformed(
        self,
        plane: Float[Tensor, "batch feature freq frame"],
        line: Float[Tensor, "batch feature time"],
    ) -> tuple[
        Float[Tensor, "batch feature freq frame"],
        Float[Tensor, "batch feature time"],
    ]:
        """Features of the lowest levels after the transformer."""
        size = plane.shape[-2:]
        x = self.channel_upsampler(plane.flatten(2)).unflatten(2, size)
        x, xt = self.crosstransformer(x, self.channel_upsampler_t(line))
        x = self.channel_downsampler(x.flatten(2)).unflatten(2, size)
        return x, self.channel_downsampler_t(xt)


def encoder(axis: Axis, planes: int, config: HTDemucsConfig) -> nn.ModuleList:
    """Levels from the planes or channels of the mixture to the lowest level."""
    options = level_options(axis, config, config.dconv_mode != "decoder")
    sizes = pairwise((planes, *config.widths))
    return nn.ModuleList(EncoderLevel(width, out, options) for width, out in sizes)


def decoder(axis: Axis, planes: int, config: HTDemucsConfig) -> nn.ModuleList:
    """Levels from the lowest one to the planes or channels of all stems."""
    options = level_options(axis, config, config.dconv_mode != "encoder")
    sizes = [*pairwise((planes * len(config.stems), *config.widths))]
    return nn.ModuleList(
        DecoderLevel(width, out, options, is_last=level == 0)
        for level, (out, width) in reversed([*enumerate(sizes)])
    )


def level_options(axis: Axis, config: HTDemucsConfig, has_branches: bool) -> LevelOptions:
    """Options that all levels share."""
    branches = {"compress": config.dconv_comp, "depth": config.dconv_depth}
    return LevelOptions(axis, dconv=branches if has_branches else {})


def projection(width: int | None, out: int | None) -> nn.Module:
    """Linear layer over features; nothing if one of the two widths is that of the other."""
    return nn.Conv1d(width, out, 1) if width and out else nn.Identity()


class HTDemucs(Separator):
    """Stems as the sum of the outputs of two U-Nets, whose lowest levels a transformer joins.

    Takes the arguments of :class:`HTDemucsConfig`.
    """

    Config = HTDemucsConfig
    config: HTDemucsConfig
    purpose = "four or six stems: U-Nets over spectrogram and waveform, joined by a transformer"
    documented_parameters = 41_984_456
    grid = "htdemucs"
    level = "standard"
    adds_up = False
    core_has_fixed_length = True
    small_options: ClassVar[Mapping[str, Any]] = {
        **{"channels": 8, "depth": 2, "window_size": 128, "dconv_comp": 4, "bottom_channels": 24},
        **{"t_layers": 3, "t_heads": 2, "t_hidden_scale": 2.0, "sample_rate": 16_000},
        **{"segment": 2048, "stems": ("vocals", "drums")},
    }
    weight_independent_options = (*Separator.weight_independent_options, "t_dropout")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sample_rate = self.config.sample_rate
        self.segment = self.config.segment
        self.stems = self.config.stems
        self.channels = self.config.audio_channels
        self.fourier = HybridFourier(self.config.window_size)
        for name, part in self.core.named_children():
            self.add_module(name, part)

    @cached_property
    def core(self) -> HTDemucsCore:
        """The network between the transforms; not registered, so tensor names lack ``core``."""
        return HTDemucsCore(self.config)

    def core_texts(self) -> dict[str, str]:
        """What the inputs of the core are, and how its outputs give stems."""
        return hybrid_texts("real and imaginary parts")

    def forward(self, mixture: Wave) -> Stems:
        """Separate a batch of mixtures of one window or more."""
        length = mixture.shape[-1]
        missing = 0 if self.training else max(0, self.segment - length)
        padded = F.pad(mixture, (0, missing))
        planes = standardize(to_planes(self.fourier.analyze(padded)))
        wave = standardize(padded)
        output, output_t = self.run_core(planes.values, wave.values)
        spectra = to_spectra(planes.restore(output), len(self.stems))
        waves = to_stems(wave.restore(output_t), len(self.stems))
        return (self.fourier.synthesize(spectra, padded.shape[-1]) + waves)[..., :length]
