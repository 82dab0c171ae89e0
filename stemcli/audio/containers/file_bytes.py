"""The bytes of a file as a sequence, read in windows.

A memory map is no alternative: if a file on a network share is truncated while it is mapped,
reading it kills the process (SIGBUS), and every page that was read counts as memory of the process.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, overload

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
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> bytes: ...
    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            start, end, step = place.indices(self._size)
            return self._read(start, end)[::step]
        return self._read(place, place + 1)[0]

    def find(self, text: bytes, start: int, end: int) -> int:
        """The first position of ``text`` between two positions; -1 if there is none."""
        return next(self.places(re.compile(re.escape(text)), start, end, len(text)), -1)

    def places(
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
