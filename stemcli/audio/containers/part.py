"""A stretch of a file that one decoder reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

ANOTHER = "another file follows in it, which is not read"
"""What is said of a file behind a file, where the format is not made for that."""


class Raw(NamedTuple):
    """How samples lie in a file, for libsndfile.

    Attributes:
        subtype: libsndfile's name of the encoding, such as ``"PCM_16"``.
        endian: ``"LITTLE"`` or ``"BIG"``.
        sample_rate: in Hz.
        channels: how many.
    """

    subtype: str
    endian: str
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class FilePart:
    """Where the sound of a file lies, or one of several sounds that follow each other in it.

    Attributes:
        path: the file.
        pieces: where the bytes lie, as pairs of the first and the one behind the last; none for
            the whole file.
        head: stands in front of the pieces: a header with the right counts.
        surplus: samples per channel that a decoder finds in the head, and that are no sound.
        raw: how the samples lie, where the bytes are samples and nothing else.
        muxer: ffmpeg's name of the format, where ffmpeg has to decode it; ``""`` for libsndfile.
        frames: samples per channel that are in the part by the format's own count; None where it
            counts none.
        is_walked: whether the container was read to its end, so that ``flaw`` has all that is wrong
            with it.
        flaw: what is wrong with the file in or behind this part; ``""`` for nothing.
        flaw_at: where that is, in seconds of the part; None where that is unknown or the end.
        breaks_off: whether the flaw is that the file ends too early.
        is_damage: whether the flaw makes what follows unusable.
        before: seconds of sound in front of this part.
        total: seconds of all parts together; None where that is unknown or this is all.
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
        """Whether libsndfile can read the file as it is."""
        return not (self.pieces or self.head or self.raw or self.muxer)

    @property
    def flaw_with_time(self) -> str:
        """The flaw with its time from the beginning of the file, where that is known."""
        if self.flaw_at is None:
            return self.flaw
        return f"{self.flaw} at {self.before + self.flaw_at:.2f} s"

    def open(self) -> PartFile:
        """The part as a file of its own."""
        pieces = self.pieces or ((0, self.path.stat().st_size),)
        return PartFile(self.path.open("rb"), self.head, pieces)


class PartFile:
    """Pieces of a file behind a header, as a read-only file for libsndfile."""

    def __init__(self, file: BinaryIO, head: bytes, pieces: tuple[tuple[int, int], ...]) -> None:
        self._file, self._head, self._pieces = file, head, pieces
        self._size = len(head) + sum(end - start for start, end in pieces)
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go there."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        """Bytes from the beginning."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """The next bytes, fewer only at the end."""
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
        """Let go of the file."""
        self._file.close()


class Extent(NamedTuple):
    """A container as it was read from its beginning to its end.

    Attributes:
        end: the byte behind its last part; what follows does not belong to it.
        frames: samples per channel that it counts; None where it counts none.
        flaw: how the file breaks off inside the container, or where that is damaged; ``""`` where
            it is whole.
        breaks_off: whether the flaw is that the file ends too early.
    """

    end: int
    frames: int | None = None
    flaw: str = ""
    breaks_off: bool = True
