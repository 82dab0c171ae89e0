"""What the frame transformers share: magnitudes of a levelled song in, one number per bin out.

The original divides the magnitudes of a song by the largest of them. Here the song is brought to a
peak of 1 before it is heard (``is_levelled``), and magnitudes are divided by that of a sine with
this peak: as good a level, and no pass over the spectrogram of the whole song.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.spectral import SpectralConfig, SpectralSeparator, Spectrum, parts_of
from model_zoo.config import broken

FEWEST_BINS = 4
"""Bins of a head: of fewer the position could turn none."""


@dataclass(frozen=True)
class FrameConfig(SpectralConfig):
    """Arguments of all frame transformers.

    Attributes:
        in_channels: audio channels, 1 or 2.
        channels: of the network, times the multiplier of each level.
        expansion: how much wider the feed-forward of a transformer is inside.
        multipliers: of the channels, one for each level from the outermost inwards; every level
            but the first halves the bins.
        num_heads: attention heads of the levels; the last holds for all deeper ones, and further
            numbers than levels are not needed.
        dropout: share of numbers that are left out in training.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: in Hz.
    """

    in_channels: int = 2
    channels: int = 4
    expansion: int = 4
    multipliers: tuple[int, ...] = (1, 2, 4, 6, 12, 24)
    num_heads: tuple[int, ...] = (16, 8, 4, 4, 4, 4)
    dropout: float = 0.1
    window_size: int = 2048
    hop_size: int = 1024
    sample_rate: int = 44_100
    segment: int = field(default=511 * 1024, kw_only=True)  # 512 frames, 11.9 s

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        rules = {
            "in_channels must be 1 or 2": self.in_channels not in (1, 2),
            "dropout must be 0 or more and below 1": not 0 <= self.dropout < 1,
            "multipliers must list one number of 1 or more per level": (
                min(self.multipliers, default=0) < 1
            ),
            "num_heads must list numbers of 1 or more": min(self.num_heads, default=0) < 1,
        }
        found = super().mistakes() + broken(rules)
        return found or [*self._uneven()]

    def _uneven(self) -> Iterator[str]:
        """Bins that cannot be halved, or dealt to heads."""
        levels = len(self.multipliers)
        if self.window_size % 2**levels:
            yield (
                f"window_size must be a multiple of {2**levels} for {levels} levels of "
                f"multipliers, found {self.window_size}"
            )
            return
        bins = [self.window_size // 2 ** (level + 1) for level in range(levels)]
        heads_by_level = heads_of(self.num_heads, levels)
        for level, (count, heads) in enumerate(zip(bins, heads_by_level, strict=True)):
            if count % heads or count // heads < FEWEST_BINS:
                yield (
                    f"num_heads: level {level + 1} has {count} bins, which {heads} heads cannot "
                    f"share evenly with {FEWEST_BINS} or more each"
                )


SMALL = {
    **{"channels": 2, "multipliers": (1, 2), "num_heads": (2,), "expansion": 2},
    **{"window_size": 64, "hop_size": 32, "sample_rate": 8000, "segment": 4096},
}


def heads_of(num_heads: tuple[int, ...], levels: int) -> list[int]:
    """Heads of every level: the last number holds for all deeper ones."""
    return [*num_heads, *[num_heads[-1]] * levels][:levels]


class FrameSeparator(SpectralSeparator):
    """Base of the frame transformers; a subclass builds :attr:`network`."""

    Config: ClassVar[type[FrameConfig]]
    is_levelled = True
    free = (*SpectralSeparator.free, "dropout")
    network: nn.Module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels = self.config.in_channels

    @property
    def core(self) -> nn.Module:
        """From magnitudes between -1 and 1 to the network's numbers."""
        return self.network

    def blocks(self) -> Iterator[nn.Module]:
        """The levels' parts one by one."""
        yield from parts_of(self.network)

    @property
    def full_scale(self) -> Float[Tensor, ""]:
        """Magnitude that a sine with a peak of 1 has."""
        return self.fourier.window.sum() / 2

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch channel freq_seen frame"]:
        """Magnitudes between -1 (silence) and 1 (a sine at full scale), without Nyquist."""
        shares = (spectrum[..., :-1, :].abs() / self.full_scale).clamp(0, 1)
        return 2 * shares - 1

    @property
    def arguments(self) -> dict[str, Any]:
        """What every network here is built from."""
        config = self.config
        return {
            "in_channels": config.in_channels,
            "channels": config.channels,
            "n_fft": config.window_size,
            "expansion": config.expansion,
            "multipliers": config.multipliers,
            "num_heads": config.num_heads,
            "dropout": config.dropout,
        }


@dataclass(frozen=True)
class SoundConfig(FrameConfig):
    """Arguments of networks that give the same sound again."""

    stems: tuple[str, ...] = field(default=("sound",), kw_only=True)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        return super().mistakes() + broken(
            {"stems must name one sound: the network gives back what it hears": len(self.stems) > 1}
        )
