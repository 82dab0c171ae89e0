"""Songs with known stems that are never trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trainers.data.groups import Groups, parts_of
from trainers.data.multitrack import open_songs, side_by_side, summed
from trainers.data.songs import Song

SILENT = 1e-6
"""Mean square below which a true stem has no SDR: -60 dB full scale."""


def is_heard(stems: Float[Tensor, "stem channel time"]) -> Bool[Tensor, " stem"]:
    """Which stems are loud enough to have an SDR."""
    return stems.square().mean((-2, -1)) > SILENT


@dataclass(frozen=True)
class ValidationTrack:
    """A mixture and its true stems, in the order in which the network names them."""

    name: str
    mixture: Float[Tensor, "channel time"]
    stems: Float[Tensor, "stem channel time"]


@dataclass(frozen=True)
class ValidationSong:
    """Where a validation track lies; it is read anew whenever it is needed.

    Attributes:
        name: of the song.
        song: its files.
        stems: of the network.
        sample_rate: that of the network, in Hz; others are resampled.
        groups: stems of the network that are sums of stems of the data.
        seconds: that are used at most, from the middle of the song; 0 uses all.
    """

    name: str
    song: Song
    stems: tuple[str, ...]
    sample_rate: int
    groups: Groups = field(default_factory=dict)
    seconds: float = 0.0

    def read(self) -> ValidationTrack:
        """Read it, in stereo: a mono song has two equal channels.

        The mixture is the song's own, or the sum of all its stems; a stem that it does not have
        is silent.

        Raises:
            DecodeError: a file is unreadable, or is not as long as the others.
            OutputError: a file must be resampled, and the cache cannot be written.
        """
        (song,) = open_songs([self.song], self.sample_rate)
        start, length = self._part(song.frames)
        clips = song.read(start, length)
        mixture = summed(clips, tuple(clips), length)
        if song.mixture:
            mixture = song.mixture.read(start, length)
        stems = [summed(clips, parts_of(stem, self.groups), length) for stem in self.stems]
        return ValidationTrack(
            self.name, torch.from_numpy(mixture), torch.from_numpy(side_by_side(stems, length))
        )

    @cached_property
    def peak(self) -> float:
        """Largest absolute sample of the whole mixture, also of what is not used; 1 for silence."""
        (song,) = open_songs([self.song], self.sample_rate)
        return song.peak or 1.0

    def _part(self, frames: int) -> tuple[int, int]:
        """Start and length of what is used, in samples."""
        wanted = round(self.seconds * self.sample_rate) or frames
        length = min(wanted, frames)
        return (frames - length) // 2, length
