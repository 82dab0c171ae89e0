"""Songs with open stems that are read side by side, for training and for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from model_zoo.errors import DecodeError
from trainers.data.recording import (
    Clip,
    Recording,
    open_recordings,
    peak_of,
    recall,
    recording_peak,
    remember,
)
from trainers.data.tracks import Groups, Track, parts_of

SLACK = 0.25
"""Most seconds by which files of one song may differ: lossy codecs add to both ends, and their
headers do not always tell how much, so that only decoding shows it."""

BLOCK = 2**20
"""Samples that are read of a song at once."""

REST = "(rest)"
"""What belongs to no stem of a song; no file has such a name."""


@dataclass(frozen=True)
class Rest:
    """What the stems of a song leave of its mixture.

    Attributes:
        mixture: of the song.
        stems: all that is known of it.
    """

    mixture: Recording
    stems: tuple[Recording, ...]

    @property
    def frames(self) -> int:
        """Samples per channel."""
        return self.mixture.frames

    def read(self, start: int, length: int) -> Clip:
        """``length`` samples from ``start`` on, in stereo; see :meth:`Recording.read`."""
        rest = self.mixture.read(start, length)
        for stem in self.stems:
            rest -= stem.read(start, length)
        return rest


@dataclass(frozen=True)
class OpenTrack:
    """One song.

    Attributes:
        name: of the song.
        stems: of the data.
        mixture: of all stems; None, where it is the sum of them.
        is_made: whether its files never were one song.
    """

    name: str
    stems: Mapping[str, Recording]
    mixture: Recording | None = None
    is_made: bool = False

    @property
    def frames(self) -> int:
        """Samples per channel of the longest file; of a made song, of the shortest."""
        lengths = [recording.frames for recording in self.recordings]
        return min(lengths) if self.is_made else max(lengths)

    @property
    def rest(self) -> Rest | None:
        """What the stems leave of the mixture, where there is one."""
        return Rest(self.mixture, tuple(self.stems.values())) if self.mixture else None

    @property
    def parts(self) -> dict[str, Recording | Rest]:
        """What clips of the song are summed from.

        The stems; a single one would be a mixture of nothing, so the rest goes with it.
        """
        rest = self.rest if len(self.stems) < 2 else None
        return {**self.stems, **({REST: rest} if rest else {})}

    @cached_property
    def peak(self) -> float:
        """Largest absolute sample of the whole mixture, or of the sum of all stems without one.

        Files are read for it once in their life.

        Raises:
            DecodeError: a file is damaged.
            OutputError: the cache cannot be written.
        """
        if self.mixture:
            return recording_peak(self.mixture)
        stems = sorted(self.stems.values(), key=lambda stem: stem.path)
        return peak_of_sum(stems, self.frames)

    def read(self, start: int, length: int) -> dict[str, Clip]:
        """All stems from ``start`` on, aligned, in stereo.

        Raises:
            DecodeError: a file is damaged.
        """
        return {name: stem.read(start, length) for name, stem in self.stems.items()}

    def require_one_length(self) -> None:
        """See to it that all files of the song are equally long, but for :data:`SLACK`.

        Files of a made song may be as long as they are.

        Raises:
            DecodeError: they are not.
        """
        longest = max(self.recordings, key=lambda one: one.frames)
        shortest = min(self.recordings, key=lambda one: one.frames)
        if not self.is_made and longest.frames - shortest.frames > SLACK * longest.sample_rate:
            raise DecodeError(
                f"{shortest.name} and {longest.name} differ in length: "
                "give stems that add up to their mixture."
            )

    @property
    def recordings(self) -> list[Recording]:
        """All files of the song."""
        return [*self.stems.values(), *([self.mixture] if self.mixture else [])]


def peak_of_sum(recordings: Sequence[Recording], frames: int) -> float:
    """Largest absolute sample of the sum of the first ``frames`` samples of recordings.

    It is remembered beside the first of them, until any of them changes.

    Raises:
        DecodeError: one cannot be read.
        OutputError: the cache cannot be written.
    """
    first, note = recordings[0].path, f"peak-{_seen(recordings, frames)}"
    known = recall(first, note)
    if not known:
        known = repr(max(map(peak_of, _sums(recordings, frames)), default=0.0))
        remember(first, note, known)
    return float(known)


def _seen(recordings: Sequence[Recording], frames: int) -> str:
    """What is another text when any of the files was changed."""
    states = [(one.path.resolve(), one.path.stat()) for one in recordings]
    files = [(str(path), state.st_size, state.st_mtime_ns) for path, state in states]
    return hashlib.sha256(repr((files, frames)).encode()).hexdigest()[:16]


def _sums(recordings: Sequence[Recording], frames: int) -> Iterator[Clip]:
    """The sum of recordings, block by block."""
    for start in range(0, frames, BLOCK):
        length = min(BLOCK, frames - start)
        total = np.zeros((2, length), np.float32)
        for recording in recordings:
            total += recording.read(start, length)
        yield total


def open_tracks(songs: Sequence[Track], sample_rate: int) -> tuple[OpenTrack, ...]:
    """Open all files of songs at a sample rate; decodes those that need it.

    Raises:
        DecodeError: a file cannot be read, or those of one song differ in length.
        OutputError: the cache cannot be written.
        FfmpegMissingError: only ffmpeg could read a file, and there is none.
    """
    opened = iter(
        open_recordings([source for song in songs for source in song.sources], sample_rate)
    )
    found = tuple(_next_song(song, opened) for song in songs)
    for song in found:
        song.require_one_length()
    return found


def _next_song(song: Track, opened: Iterator[Recording]) -> OpenTrack:
    """A song from its recordings, which come in the order of its sources."""
    mixture = next(opened) if song.mixture else None
    stems = {stem: next(opened) for stem in song.stems}
    return OpenTrack(song.name, stems, mixture, song.is_made)


def side_by_side(stems: Sequence[Clip], length: int) -> Float[np.ndarray, "stem channel time"]:
    """Clips of ``length`` samples in one array, where there may be none."""
    return np.stack(stems) if stems else np.zeros((0, 2, length), np.float32)


def summed(clips: Mapping[str, Clip], names: Sequence[str], length: int) -> Clip:
    """The sum of the named clips; those that are missing are silent."""
    total = np.zeros((2, length), np.float32)
    for name in names:
        if name in clips:
            total += clips[name]
    return total


SILENT_MEAN_SQUARE = 1e-6
"""Mean square below which a true stem has no SDR: -60 dB full scale."""


def is_heard(stems: Float[Tensor, "stem channel time"]) -> Bool[Tensor, " stem"]:
    """Which stems are loud enough to have an SDR."""
    return stems.square().mean((-2, -1)) > SILENT_MEAN_SQUARE


def loudest(waves: Iterable[Float[Tensor, "channel time"]], length: int, step: int = 1) -> range:
    """The samples in which all waves are loud: their energies have the largest product.

    Args:
        waves: of equal length.
        length: samples; all where the waves are shorter.
        step: only multiples of this are tried as the first sample.
    """
    energies = torch.stack([wave.double().square().sum(0) for wave in waves])
    total = energies.shape[1]
    if total <= length:
        return range(total)
    sums = torch.nn.functional.pad(energies.cumsum(1), (1, 0))
    starts = torch.arange(0, total - length + 1, step)
    windows = sums[:, starts + length] - sums[:, starts]
    start = int(starts[(windows + 1e-6).log().sum(0).argmax()])
    return range(start, start + length)


@dataclass(frozen=True)
class ValidationAudio:
    """A mixture and its true stems, in the order in which the network names them."""

    name: str
    mixture: Float[Tensor, "channel time"]
    stems: Float[Tensor, "stem channel time"]


@dataclass(frozen=True)
class ValidationTrack:
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
    song: Track
    stems: tuple[str, ...]
    sample_rate: int
    groups: Groups = field(default_factory=dict)
    seconds: float = 0.0

    def read(self) -> ValidationAudio:
        """Read it, in stereo: a mono song has two equal channels.

        The mixture is the song's own, or the sum of all its stems; a stem that it does not have
        is silent.

        Raises:
            DecodeError: a file is unreadable, or is not as long as the others.
            OutputError: a file must be resampled, and the cache cannot be written.
        """
        (song,) = open_tracks([self.song], self.sample_rate)
        start, length = self._part(song.frames)
        clips = song.read(start, length)
        mixture = summed(clips, tuple(clips), length)
        if song.mixture:
            mixture = song.mixture.read(start, length)
        stems = [summed(clips, parts_of(stem, self.groups), length) for stem in self.stems]
        return ValidationAudio(
            self.name, torch.from_numpy(mixture), torch.from_numpy(side_by_side(stems, length))
        )

    @cached_property
    def peak(self) -> float:
        """Largest absolute sample of the whole mixture, also of what is not used; 1 for silence."""
        (song,) = open_tracks([self.song], self.sample_rate)
        return song.peak or 1.0

    def _part(self, frames: int) -> tuple[int, int]:
        """Start and length of what is used, in samples."""
        wanted = round(self.seconds * self.sample_rate) or frames
        length = min(wanted, frames)
        return (frames - length) // 2, length
