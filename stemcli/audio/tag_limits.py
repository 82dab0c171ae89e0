"""Limits for the tags of a song, which a file of some megabytes can make take gigabytes.

mutagen reads what a file says is there and makes an object of every field. So it reads through a
file that counts: how much at once, how often, and how many fields of ID3 there can be in what was
read. Comments of Ogg and FLAC and items of APEv2 are counted where mutagen makes them.
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
"""Bytes: no block of a FLAC file is larger, and no cover has to be."""

MOST_BYTES = 2**26
"""Bytes of all that is read of a file for its tags."""

MOST_READS = 200_000
"""Of a film in pieces of two seconds, three hours take thirty thousand."""

MOST_FIELDS = 5_000
"""Fields and pictures of one song, of all kinds."""

WORTH_COUNTING = 2**15
"""Bytes: what is shorter has no room for so many fields, of ten bytes each at least."""

MOST_APE_READS = 100_000
"""Of an APEv2 tag: two for each item, and one for each character of its name."""

_FRAMES = re.compile(b"|".join(name.encode() for name in {**id3.Frames, **id3.Frames_2_2}))


class TooLargeError(Exception):
    """Tags that are left out: larger, or of more fields, than those of any song."""


class BoundedFile:
    """A file to read for its tags, and no further than is sane.

    Args:
        path: of the song.

    Raises:
        TooLargeError: by reading: the tags are too large.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file: BinaryIO = path.open("rb")
        self._left, self._reads = MOST_BYTES, MOST_READS

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all that are left."""
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
        """As of any file."""
        return self._file.seek(*place)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def close(self) -> None:
        """As of any file."""
        self._file.close()

    def __enter__(self) -> BoundedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def require_few(fields: int) -> None:
    """Refuse what has more fields than any song.

    Raises:
        TooLargeError: it has.
    """
    if fields > MOST_FIELDS:
        raise TooLargeError(f"they have {fields:,} fields")


class _BoundedZlib:
    """What mutagen needs of zlib for compressed frames, which may be zeros without end."""

    error = zlib.error

    @staticmethod
    def decompress(data: bytes) -> bytes:
        inflater = zlib.decompressobj()
        content = inflater.decompress(data, MOST_AT_ONCE)
        if inflater.unconsumed_tail:
            raise TooLargeError("a compressed field is too large")
        return content


class _CountedBytes(BytesIO):
    """What mutagen needs of a file in memory for APEv2, whose keys it reads byte by byte."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self._reads = MOST_APE_READS

    def read(self, size: int | None = -1) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise TooLargeError("they have too many parts")
        return super().read(size)


def _append(comments: Any, pair: tuple[str, str]) -> None:
    """Add a Vorbis comment to those before it."""
    require_few(len(comments) + 1)
    list.append(comments, pair)


def bound_mutagen() -> None:
    """Let mutagen (1.47) unpack and count within limits: it has no other way to be told so."""
    frames, ape, vorbis = (cast(Any, module) for module in (_frames, apev2, _vorbis))
    frames.zlib = _BoundedZlib
    ape.BytesIO = _CountedBytes
    vorbis.VComment.append = _append
