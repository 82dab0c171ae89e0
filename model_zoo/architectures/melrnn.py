"""MelRNN: recurrent networks over mel bands, along frequency and time in turn.

After the band-split RNN (Luo and Yu 2022, arXiv 2209.15174) in the form of MSRKit, whose tensor
names it keeps: grouped GRUs, mel bands, and the spectrum itself as output instead of a mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

from torch import nn

from model_zoo.architectures.mel_frontend import SMALL, MelConfig, MelFrontend, mel_band
from model_zoo.blocks.recurrent import RNNBlock
from model_zoo.blocks.spectral import DualPath
from model_zoo.separator import SpectralSeparator

LAYERS_PER_BLOCK = 2


@dataclass(frozen=True)
class MelRNNConfig(MelConfig):
    """Arguments of :class:`MelRNN`.

    Attributes:
        hidden_channels: width of a token.
        num_layers: layers of one frequency and one time block each.
        num_groups: recurrent networks in parallel in every block.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        time_bidirectional: run along time in both directions; the public MSRKit weights run
            forwards only.
    """

    hidden_channels: int = 128
    num_layers: int = 9
    num_groups: int = 8
    window_size: int = 2048
    hop_size: int = 512
    sample_rate: int = 48_000
    output: Literal["mask", "map"] = field(default="map", kw_only=True)
    time_bidirectional: bool = field(default=True, kw_only=True)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        found = super().mistakes()
        if not found and self.hidden_channels % (2 * self.num_groups):
            found.append("hidden_channels must be an even multiple of num_groups")
        return found


class MelRNN(SpectralSeparator):
    """Spectrograms of the stems from bidirectional GRUs.

    Takes the arguments of :class:`MelRNNConfig`.
    """

    Config = MelRNNConfig
    config: MelRNNConfig
    purpose = "an instrument, with few weights: recurrent networks over mel bands"
    documented_parameters = 6_813_568
    small_options: ClassVar[Mapping[str, Any]] = {
        "hidden_channels": 16,
        "num_layers": 1,
        "num_groups": 2,
        **SMALL,
    }
    weight_independent_options = (*SpectralSeparator.weight_independent_options, "expander_db")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.audio_channels
        self.fourier = MelFrontend(config)
        self.band = mel_band(config, config.hidden_channels)
        self.freq_blocks = self._blocks(bidirectional=True)
        self.time_blocks = self._blocks(bidirectional=config.time_bidirectional)

    def _blocks(self, bidirectional: bool) -> nn.ModuleList:
        config = self.config
        return nn.ModuleList(
            RNNBlock(
                config.hidden_channels,
                LAYERS_PER_BLOCK,
                config.num_groups,
                bidirectional=bidirectional,
            )
            for _ in range(config.num_layers)
        )

    @cached_property
    def core(self) -> DualPath:
        """Features to spectrograms of the stems; not registered, so tensor names lack ``core``."""
        return DualPath(self.band, self.freq_blocks, self.time_blocks)
