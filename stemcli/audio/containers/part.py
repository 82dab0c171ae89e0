"""Bytes of a file, read in windows, and the part of a file that one decoder reads.

A memory map is no alternative: if a file on a network share is truncated while it is mapped,
reading it kills the process (SIGBUS), and every page that was read counts as memory of the process.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, overload

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


_WINDOW = 1 << 16  # bytes in memory
_PAGE = 1 << 12  # bytes; windows begin at pages, so that small steps back stay inside
_SEARCHED = 1 << 20  # most bytes per search


class FileBytes:
    """Read-only bytes of an open file, sliced and searched like :class:`bytes`.

    Reading raises a :class:`ValueError` if the file was truncated since it was opened.

    Args:
        file: an unbuffered file, which the caller closes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._start, self._window = 0, b""

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    def __getitem__(self, index: int | slice) -> int | bytes:
        if isinstance(index, slice):
            start, end, step = index.indices(self._size)
            return self._read(start, end)[::step]
        return self._read(index, index + 1)[0]

    def find(self, text: bytes, start: int, end: int) -> int:
        """The first position of ``text`` between two positions; -1 if there is none."""
        return next(self.find_all(re.compile(re.escape(text)), start, end, len(text)), -1)

    def find_all(
        self, pattern: re.Pattern[bytes], start: int, end: int, longest: int
    ) -> Iterator[int]:
        """Every position between two others at which a pattern matches.

        Args:
            pattern: without anchors, with a match whose length does not depend on what follows.
            start: the first byte.
            end: the byte after the last.
            longest: bytes of the longest match.
        """
        at, step = start, self._first_step(start, longest)
        while at < end:
            piece = self._read(at, min(at + step + longest - 1, end))
            reached = min(step, end - at)
            for match in pattern.finditer(piece):
                if match.start() >= step:
                    break
                yield at + match.start()
                reached = max(reached, match.end())
            at, step = at + reached, min(2 * step, _SEARCHED)

    def _first_step(self, at: int, longest: int) -> int:
        """Bytes to search first, because a match is often in the current window."""
        kept = self._start + len(self._window) - at - longest + 1
        is_kept = self._start <= at and kept > 0
        return min(kept if is_kept else _WINDOW - _PAGE, _SEARCHED)

    def unpack(self, layout: str, at: int) -> tuple[Any, ...]:
        """Unpack the numbers at a position, in a layout of :mod:`struct`."""
        return struct.unpack(layout, self[at : at + struct.calcsize(layout)])

    def _read(self, start: int, end: int) -> bytes:
        end = min(end, self._size)
        if start >= end:
            return b""
        if end - start > _WINDOW - _PAGE:
            return self._load(start, end - start)
        if not self._start <= start <= end <= self._start + len(self._window):
            self._start = start - start % _PAGE
            self._window = self._load(self._start, min(_WINDOW, self._size - self._start))
        return self._window[start - self._start : end - self._start]

    def _load(self, start: int, count: int) -> bytes:
        self._file.seek(start)
        pieces = []
        while count > 0:
            pieces.append(self._file.read(count))
            count -= len(pieces[-1])
            if not pieces[-1]:
                raise ValueError("the file was truncated while it was read")
        return b"".join(pieces)
