"""Limits for the tags of a song, which a file of some megabytes can make take gigabytes.

mutagen reads what a file says is there and makes an object of every field. So it reads through a
file that counts: how much at once, how often, and how many fields there can be in what was read.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mutagen import id3
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

NEAR = 2**17
"""Bytes at the beginning of an Ogg file in which its comments begin."""

_FRAMES = re.compile(b"|".join(name.encode() for name in {**id3.Frames, **id3.Frames_2_2}))
_COMMENTS = re.compile(rb"\x03vorbis|OpusTags|\x81kate|\x80theora|\x81theora")


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


def check_comments(file: BoundedFile) -> None:
    """Count the comments that a FLAC or an Ogg file says it has, and the items of APEv2.

    The number stands behind the name of the maker (xiph.org/vorbis/doc/v-comment.html), in APEv2
    16 bytes into its header and footer (wiki.hydrogenaud.io, "APE Tags Header").

    Raises:
        TooLargeError: there are too many.
    """
    file.seek(0)
    begin = file.read(NEAR)
    for start in _ogg_comments(begin) if begin.startswith(b"OggS") else ():
        require_few(_comments(begin[start:]))
    _check_blocks(file, _behind_id3(begin))
    size = file.seek(0, 2)
    file.seek(max(0, size - 2**16))
    for part in (begin, file.read(2**16)):
        for found in re.finditer(b"APETAGEX", part):
            require_few(int.from_bytes(part[found.start() + 16 : found.start() + 20], "little"))
    file.seek(0)


def _ogg_comments(begin: bytes) -> Iterator[int]:
    """Where the comments of Ogg's streams may begin.

    Those of FLAC, behind a block header of 4 bytes, and of Speex have no name of their own: they
    begin the second page.
    """
    yield from (found.end() for found in _COMMENTS.finditer(begin))
    for mark, header in ((b"\x7fFLAC", 4), (b"Speex   ", 0)):
        if mark in begin:
            page = begin.find(b"OggS", 4)
            # A page has 27 bytes and a table, whose length is the last of them (RFC 3533, 6).
            table = begin[page + 26] if 0 <= page < len(begin) - 27 else len(begin)
            yield page + 27 + table + header


def _behind_id3(begin: bytes) -> int:
    """Where a file begins behind its ID3v2 tag, of ten bytes and a length in four times 7 bits."""
    if not begin.startswith(b"ID3"):
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(begin[6:10], (21, 14, 7, 0), strict=False))


def _check_blocks(file: BoundedFile, at: int) -> None:
    """Walk over the metadata of FLAC (RFC 9639, section 8): a type and a length, then a block."""
    file.seek(at)
    if file.read(4) != b"fLaC":
        return
    for number in range(MOST_FIELDS + 2):
        require_few(number)
        head = file.read(4)
        if len(head) < 4:
            return
        kind, length = head[0], int.from_bytes(head[1:], "big")
        block = file.read(min(length, NEAR)) if kind & 0x7F == 4 else b""
        require_few(_comments(block))
        file.seek(length - len(block), 1)
        if kind & 0x80:
            return


def _comments(block: bytes) -> int:
    """How many comments a block says it holds; 0 where it ends before it says so."""
    if len(block) < 4:
        return 0
    (maker,) = struct.unpack_from("<I", block)
    number = block[4 + maker : 8 + maker]
    if len(number) < 4:
        return MOST_FIELDS + 1 if maker > WORTH_COUNTING else 0
    return int.from_bytes(number, "little")


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


def bound_compression() -> None:
    """Let mutagen (1.47) decompress within limits: it has no other way to be told so."""
    frames: Any = _frames
    frames.zlib = _BoundedZlib
