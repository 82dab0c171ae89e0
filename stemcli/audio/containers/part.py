"""A part of a file that one decoder reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

ANOTHER = "another file follows in it, which is not read"
"""The flaw of concatenated files in a format that does not support concatenation."""


class Raw(NamedTuple):
    """The layout of raw samples, for libsndfile.

    Attributes:
        subtype: libsndfile's name of the encoding, such as ``"PCM_16"``.
        endian: ``"LITTLE"`` or ``"BIG"``.
        sample_rate: in Hz.
        channels: number of channels.
    """

    subtype: str
    endian: str
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class FilePart:
    """The audio of a file, or one of several recordings in a row.

    Attributes:
        path: the file.
        pieces: byte ranges, as pairs of the first byte and the one after the last; empty for the
            whole file.
        head: header with the right counts, to put before the pieces.
        surplus: samples per channel that a decoder finds in the head and that must be skipped.
        raw: layout of the samples, if the bytes are samples only.
        muxer: ffmpeg's name of the format, if ffmpeg must decode it; ``""`` for libsndfile.
        frames: samples per channel in the part by the format's own count; None if it has no count.
        is_walked: whether the container was read to its end, so that ``flaw`` is complete.
        flaw: the defect of the file in or after this part; ``""`` for none.
        flaw_at: time of the defect in seconds of the part; None if unknown or at the end.
        breaks_off: whether the flaw is that the file ends too early.
        is_damage: whether the flaw makes the following data unusable.
        before: seconds of audio before this part.
        total: seconds of all parts together; None if unknown or if this is the only part.
    """

    path: Path
    pieces: tuple[tuple[int, int], ...] = ()
    head: bytes = b""
    surplus: int = 0
    raw: Raw | None = None
    muxer: str = ""
    frames: int | None = None
    is_walked: bool = False
    flaw: str = ""
    flaw_at: float | None = None
    breaks_off: bool = False
    is_damage: bool = False
    before: float = 0.0
    total: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether libsndfile can read the file unchanged."""
        return not (self.pieces or self.head or self.raw or self.muxer)

    @property
    def flaw_with_time(self) -> str:
        """The flaw with its time from the beginning of the file, if known."""
        if self.flaw_at is None:
            return self.flaw
        return f"{self.flaw} at {self.before + self.flaw_at:.2f} s"

    def open(self) -> PartFile:
        """Open the part as a separate file."""
        pieces = self.pieces or ((0, self.path.stat().st_size),)
        return PartFile(self.path.open("rb"), self.head, pieces)


class PartFile:
    """A header followed by pieces of a file, as a read-only file for libsndfile."""

    def __init__(self, file: BinaryIO, head: bytes, pieces: tuple[tuple[int, int], ...]) -> None:
        self._file, self._head, self._pieces = file, head, pieces
        self._size = len(head) + sum(end - start for start, end in pieces)
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        """Position in bytes from the beginning."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Read the next bytes, fewer only at the end."""
        left = max(0, self._size - self._position)
        count = left if count < 0 else min(count, left)
        got = [self._head[self._position : self._position + count]]
        count -= len(got[0])
        at = self._position + len(got[0]) - len(self._head)  # in the pieces
        for start, end in self._pieces:
            if count and at < end - start:
                self._file.seek(start + at)
                got.append(self._file.read(min(count, end - start - at)))
                count -= len(got[-1])
                at += len(got[-1])
            at -= end - start
        data = b"".join(got)
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Extent(NamedTuple):
    """The end of a container, found by reading it from its beginning.

    Attributes:
        end: the byte after its last element; later bytes do not belong to it.
        frames: samples per channel by its own count; None if it has no count.
        flaw: how the container is truncated or damaged; ``""`` if it is intact.
        breaks_off: whether the flaw is that the file ends too early.
    """

    end: int
    frames: int | None = None
    flaw: str = ""
    breaks_off: bool = True
