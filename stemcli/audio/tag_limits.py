"""Limits for the tags of a song, because a file of a few megabytes can make mutagen take gigabytes.

mutagen trusts the sizes in a file and creates an object for every field. It therefore reads through
a file that limits the bytes per read, the number of reads and the possible number of ID3 fields.
Comments of Ogg and FLAC and items of APEv2 are counted where mutagen creates them.
"""

from __future__ import annotations

import re
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from mutagen import _vorbis, apev2, id3
from mutagen.id3 import _frames

MOST_AT_ONCE = 2**24
"""Bytes per read: no block of a FLAC file is larger, and no cover needs to be."""

MOST_BYTES = 2**26
"""Total bytes that are read from a file for its tags."""

MOST_READS = 200_000
"""Reads per file; three hours of a film in fragments of two seconds take thirty thousand."""

MOST_FIELDS = 5_000
"""Fields and pictures of one song, of all kinds."""

WORTH_COUNTING = 2**15
"""Bytes; shorter data cannot contain too many fields, which have at least ten bytes each."""

MOST_APE_READS = 100_000
"""Reads of an APEv2 tag: two for each item, and one for each character of its name."""

_FRAMES = re.compile(b"|".join(name.encode() for name in {**id3.Frames, **id3.Frames_2_2}))


class TooLargeError(Exception):
    """Tags exceed a limit in size or number of fields; they are not copied."""


class BoundedFile:
    """A file that limits how much can be read for its tags.

    Args:
        path: of the song.

    Raises:
        TooLargeError: while reading: the tags exceed a limit.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file: BinaryIO = path.open("rb")
        self._left, self._reads = MOST_BYTES, MOST_READS

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes; all remaining ones if negative."""
        data = self._file.read(MOST_AT_ONCE + 1 if size < 0 else min(size, MOST_AT_ONCE + 1))
        self._left -= len(data)
        self._reads -= 1
        for is_over, most in (
            (len(data) > MOST_AT_ONCE, MOST_AT_ONCE),
            (self._left < 0, MOST_BYTES),
        ):
            if is_over:
                raise TooLargeError(f"they have more than {most // 2**20} MiB")
        if self._reads < 0:
            raise TooLargeError("they have too many parts")
        if len(data) > WORTH_COUNTING:
            require_few(sum(1 for _ in _FRAMES.finditer(data)))
        return data

    def seek(self, *place: int) -> int:
        """Set the position, like :meth:`io.IOBase.seek`."""
        return self._file.seek(*place)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> BoundedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def require_few(fields: int) -> None:
    """Refuse tags with too many fields.

    Raises:
        TooLargeError: there are more than :data:`MOST_FIELDS`.
    """
    if fields > MOST_FIELDS:
        raise TooLargeError(f"they have {fields:,} fields")


class _BoundedZlib:
    """The part of zlib that mutagen uses, with a limit for frames that expand enormously."""

    error = zlib.error

    @staticmethod
    def decompress(data: bytes) -> bytes:
        inflater = zlib.decompressobj()
        content = inflater.decompress(data, MOST_AT_ONCE)
        if inflater.unconsumed_tail:
            raise TooLargeError("a compressed field is too large")
        return content


class _CountedBytes(BytesIO):
    """A file in memory with a limited number of reads; mutagen reads APEv2 keys byte by byte."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self._reads = MOST_APE_READS

    def read(self, size: int | None = -1) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise TooLargeError("they have too many parts")
        return super().read(size)


def _append(comments: Any, pair: tuple[str, str]) -> None:
    """Append a Vorbis comment within the limit."""
    require_few(len(comments) + 1)
    list.append(comments, pair)


def bound_mutagen() -> None:
    """Patch mutagen (tested with 1.47) to apply the limits; it has no option for them."""
    frames, ape, vorbis = (cast(Any, module) for module in (_frames, apev2, _vorbis))
    frames.zlib = _BoundedZlib
    ape.BytesIO = _CountedBytes
    vorbis.VComment.append = _append
