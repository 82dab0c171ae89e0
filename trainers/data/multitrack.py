"""Songs whose stem files are read in parallel, for training and for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
"""Maximum difference in seconds between files of one song: lossy codecs pad both ends, and only
decoding shows by how much."""

BLOCK = 2**20
"""Samples per block when a song is read."""

REST = "(rest)"
"""Name of the rest of a mixture without its stems; no file has such a name."""


@dataclass(frozen=True)
class Rest:
    """The rest of a mixture after its known stems are subtracted.

    Attributes:
        mixture: mixture of the song.
        stems: known stems of the song.
    """

    mixture: Recording
    stems: tuple[Recording, ...]

    @property
    def frames(self) -> int:
        """Samples per channel."""
        return self.mixture.frames

    def read(self, start: int, length: int) -> Clip:
        """Read ``length`` samples from ``start`` in stereo; see :meth:`Recording.read`."""
        rest = self.mixture.read(start, length)
        for stem in self.stems:
            rest -= stem.read(start, length)
        return rest


@dataclass(frozen=True)
class OpenTrack:
    """A song with open files.

    Attributes:
        name: name of the song.
        stems: stems of the data.
        mixture: mixture of all stems; None if it is the sum of the stems.
        is_made: whether its files do not belong to one song.
    """

    name: str
    stems: Mapping[str, Recording]
    mixture: Recording | None = None
    is_made: bool = False

    @property
    def frames(self) -> int:
        """Samples per channel of the longest file; of the shortest if ``is_made``."""
        lengths = [recording.frames for recording in self.recordings]
        return min(lengths) if self.is_made else max(lengths)

    @property
    def rest(self) -> Rest | None:
        """The rest of the mixture without the stems; None without a mixture."""
        return Rest(self.mixture, tuple(self.stems.values())) if self.mixture else None

    @property
    def parts(self) -> dict[str, Recording | Rest]:
        """The parts that clips of the song are the sum of.

        These are the stems; a single stem would be its own mixture, so the rest is added to it.
        """
        rest = self.rest if len(self.stems) < 2 else None
        return {**self.stems, **({REST: rest} if rest else {})}

    @cached_property
    def peak(self) -> float:
        """Largest absolute sample of the mixture or, without one, of the sum of all stems.

        The value is cached until a file changes.

        Raises:
            DecodeError: a file is damaged.
            OutputError: the cache cannot be written.
        """
        if self.mixture:
            return recording_peak(self.mixture)
        stems = sorted(self.stems.values(), key=lambda stem: stem.path)
        return peak_of_sum(stems, self.frames)

    def read(self, start: int, length: int) -> dict[str, Clip]:
        """Read all stems from ``start``, aligned, in stereo.

        Raises:
            DecodeError: a file is damaged.
        """
        return {name: stem.read(start, length) for name, stem in self.stems.items()}

    def require_one_length(self) -> None:
        """Check that all files of the song have the same length within :data:`SLACK`.

        Files of a song with ``is_made`` may have any length.

        Raises:
            DecodeError: the lengths differ.
        """
        if self.is_made:
            return
        lengths = [(one.frames, one.name) for one in self.recordings]
        problem = length_mismatch(lengths, self.recordings[0].sample_rate)
        if problem:
            raise DecodeError(problem)

    @property
    def recordings(self) -> list[Recording]:
        """All recordings of the song."""
        return [*self.stems.values(), *([self.mixture] if self.mixture else [])]


def length_mismatch(lengths: Collection[tuple[int, str]], sample_rate: int) -> str:
    """A sentence if files of a song differ in length by more than :data:`SLACK`; else empty.

    Args:
        lengths: samples per channel of each file, and its name.
        sample_rate: sample rate of all, in Hz.
    """
    (shortest, short), (longest, long) = min(lengths), max(lengths)
    if longest - shortest <= SLACK * sample_rate:
        return ""
    return f"{short} and {long} differ in length: use stems that add up to their mixture"


def peak_of_sum(recordings: Sequence[Recording], frames: int) -> float:
    """Return the peak of the sum of the first ``frames`` samples of recordings.

    The value is stored with the first recording until any of them changes.

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
    """Return a key that changes whenever any of the files does."""
    states = [(one.path.resolve(), one.path.stat()) for one in recordings]
    files = [(str(path), state.st_size, state.st_mtime_ns) for path, state in states]
    return hashlib.sha256(repr((files, frames)).encode()).hexdigest()[:16]


def _sums(recordings: Sequence[Recording], frames: int) -> Iterator[Clip]:
    """Yield the sum of recordings, block by block."""
    for start in range(0, frames, BLOCK):
        length = min(BLOCK, frames - start)
        total = np.zeros((2, length), np.float32)
        for recording in recordings:
            total += recording.read(start, length)
        yield total


def open_tracks(songs: Sequence[Track], sample_rate: int) -> tuple[OpenTrack, ...]:
    """Open all files of songs at a sample rate, decoding them if necessary.

    Raises:
        DecodeError: a file cannot be read, or those of one song differ in length.
        OutputError: the cache cannot be written.
        FfmpegMissingError: a file needs ffmpeg, which is not installed.
    """
    opened = iter(
        open_recordings([source for song in songs for source in song.sources], sample_rate)
    )
    found = tuple(_next_song(song, opened) for song in songs)
    for song in found:
        song.require_one_length()
    return found


def _next_song(song: Track, opened: Iterator[Recording]) -> OpenTrack:
    """Build a song from its recordings, in the order of its sources."""
    mixture = next(opened) if song.mixture else None
    stems = {stem: next(opened) for stem in song.stems}
    return OpenTrack(song.name, stems, mixture, song.is_made)


def side_by_side(stems: Sequence[Clip], length: int) -> Float[np.ndarray, "stem channel time"]:
    """Stack clips of ``length`` samples into one array, which may be empty."""
    return np.stack(stems) if stems else np.zeros((0, 2, length), np.float32)


def summed(clips: Mapping[str, Clip], names: Sequence[str], length: int) -> Clip:
    """Add up the named clips; missing ones count as silent."""
    total = np.zeros((2, length), np.float32)
    for name in names:
        if name in clips:
            total += clips[name]
    return total


SILENT_MEAN_SQUARE = 1e-6
"""Mean square below which a true stem has no SDR: -60 dB full scale."""


def is_audible(stems: Float[Tensor, "stem channel time"]) -> Bool[Tensor, " stem"]:
    """Return which stems are loud enough for an SDR."""
    return stems.square().mean((-2, -1)) > SILENT_MEAN_SQUARE


def loudest(waves: Iterable[Float[Tensor, "channel time"]], length: int, step: int = 1) -> range:
    """Find the excerpt in which all waves are loud: that with the largest product of energies.

    Args:
        waves: waves of equal length.
        length: length of the excerpt in samples; shorter waves are returned whole.
        step: the first sample is a multiple of it.
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
    """A mixture and its true stems, in the network's order."""

    name: str
    mixture: Float[Tensor, "channel time"]
    stems: Float[Tensor, "stem channel time"]


@dataclass(frozen=True)
class ValidationTrack:
    """A validation song, which is read again each time it is used.

    Attributes:
        name: name of the song.
        song: its files.
        stems: stems of the network.
        sample_rate: sample rate of the network in Hz; other rates are resampled.
        groups: network stems that are sums of data stems.
        seconds: maximum duration, taken from the middle of the song; 0 for all.
    """

    name: str
    song: Track
    stems: tuple[str, ...]
    sample_rate: int
    groups: Groups = field(default_factory=dict)
    seconds: float = 0.0

    def read(self) -> ValidationAudio:
        """Read the song in stereo; mono is copied to both channels.

        The mixture is the song's own, or the sum of all its stems; stems that the song does not
        have are silent.

        Raises:
            DecodeError: a file is unreadable, or its length differs from the others.
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
        """Return the peak of the whole mixture, including unused parts; 1 for silence."""
        (song,) = open_tracks([self.song], self.sample_rate)
        return song.peak or 1.0

    def _part(self, frames: int) -> tuple[int, int]:
        """Return start and length of the used part, in samples."""
        limit = round(self.seconds * self.sample_rate) or frames
        length = min(limit, frames)
        return (frames - length) // 2, length
