"""MelRoFormer: transformers over mel bands, along frequency and time in turn.

After the mel-band RoFormer (Wang, Lu and Chen 2024, arXiv 2409.04702) in the form of MSRKit, whose
tensor names it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from torch import nn

from model_zoo.architectures.mel_frontend import SMALL, MelConfig, MelFrontend, mel_band
from model_zoo.blocks.attention import RoFormerBlock
from model_zoo.blocks.spectral import DualPath
from model_zoo.separator import SpectralSeparator


@dataclass(frozen=True)
class MelRoFormerConfig(MelConfig):
    """Arguments of :class:`MelRoFormer`.

    Attributes:
        hidden_channels: width of a token.
        num_layers: layers of one frequency and one time block each.
        num_heads: attention heads of every block.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
    """

    hidden_channels: int = 128
    num_layers: int = 12
    num_heads: int = 4
    window_size: int = 2048
    hop_size: int = 512
    sample_rate: int = 48_000

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        found = super().mistakes()
        if not found and self.hidden_channels % (2 * self.num_heads):
            found.append("hidden_channels must be an even multiple of num_heads")
        return found


class MelRoFormer(SpectralSeparator):
    """Masks of the mixture's spectrogram from transformers with rotary position embedding.

    Takes the arguments of :class:`MelRoFormerConfig`.
    """

    Config = MelRoFormerConfig
    config: MelRoFormerConfig
    purpose = "a voice or an instrument: transformers over mel bands; the bundled model is one"
    documented_parameters = 8_841_856
    small_options: ClassVar[Mapping[str, Any]] = {
        "hidden_channels": 16,
        "num_layers": 1,
        "num_heads": 2,
        **SMALL,
    }
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "expander_db")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        width, heads = config.hidden_channels, config.num_heads
        trained_frames = config.segment // config.hop_size + 1
        self.channels = config.audio_channels
        self.fourier = MelFrontend(config)
        self.band = mel_band(config, width)
        self.freq_blocks = nn.ModuleList(
            RoFormerBlock(width, heads, config.num_bands) for _ in range(config.num_layers)
        )
        self.time_blocks = nn.ModuleList(
            RoFormerBlock(width, heads, trained_frames) for _ in range(config.num_layers)
        )

    @cached_property
    def core(self) -> DualPath:
        """Features to masks; not registered, so tensor names lack ``core``."""
        return DualPath(self.band, self.freq_blocks, self.time_blocks)
