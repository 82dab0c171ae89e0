"""Where an Ogg file is damaged, and whether its end is there.

Every page carries a checksum, but libsndfile leaves out the pages whose checksum is wrong and goes
on with the next, so the song only comes out shorter (RFC 3533, section 6).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct("<4sBBqIIIB")
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_UNFINISHED = -1  # granule position of a page on which no packet ends
_LAST_PAGE = 4  # flag in the header of the page that ends a stream
_LONGEST_PAGE = 65307  # bytes


class Page(NamedTuple):
    """One page: where it ends, whether its stream does, and whether its checksum is right."""

    granule: int
    is_last: bool
    is_whole: bool


_RUBBISH = Page(_UNFINISHED, is_last=False, is_whole=False)


def frames_before_damage(path: Path) -> int | None:
    """Frames, by the codec's clock, before the first damaged page; None when none is damaged.

    What follows the last page of a stream, and is none, is rubbish rather than damage.
    """
    reached, ended = 0, False
    with path.open("rb") as file:
        for page in _pages(file):
            if not page.is_whole:
                return None if ended and page is _RUBBISH else reached
            reached = reached if page.granule == _UNFINISHED else page.granule
            ended = page.is_last
    return None


def lacks_last_page(path: Path) -> bool:
    """Whether the file ends with a page that does not say that it is the last of its stream."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _LONGEST_PAGE))
        tail = file.read()
    at = tail.rfind(b"OggS")
    return at < 0 or not (tail[at + 5 : at + 6] or b"\0")[0] & _LAST_PAGE


def _pages(file: BinaryIO) -> Iterator[Page]:
    """The pages up to the first place where none begins."""
    while head := file.read(_HEADER.size):
        if len(head) < _HEADER.size or head[:4] != b"OggS":
            yield _RUBBISH
            return
        _, _, flags, granule, _, _, checksum, segments = _HEADER.unpack(head)
        sizes = file.read(segments)
        page = head[:22] + bytes(4) + head[26:] + sizes + file.read(sum(sizes))
        yield Page(granule, bool(flags & _LAST_PAGE), checksum == page_checksum(page))


def page_checksum(page: bytes) -> int:
    """CRC-32 with the generator 0x04c11db7, from the highest bit on, started at zero.

    zlib has the same generator from the lowest bit on, started and ended with an inversion.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
