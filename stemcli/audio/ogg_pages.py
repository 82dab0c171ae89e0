"""The pages of an Ogg file: which belong together, which are damaged, where a stream ends.

Every page carries a checksum and a number, but libsndfile leaves out the pages whose checksum is
wrong and reads the next, so the song only comes out shorter (RFC 3533, section 6). A file may hold
several streams after each other, its links (section 4); libsndfile reads the first alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stemcli.audio.file_bytes import FileBytes

_MAGIC = b"OggS"
_HEADER = struct.Struct("<4sBBqIIIB")
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_UNFINISHED = -1  # granule position of a page on which no packet ends
_FIRST_PAGE, _LAST_PAGE = 2, 4  # flags of the pages that begin and end a stream


class Page(NamedTuple):
    """One page."""

    start: int
    end: int
    flags: int
    granule: int
    serial: int
    number: int
    is_whole: bool


@dataclass
class Stream:
    """One of the streams of a link.

    Attributes:
        packet: the beginning of its first packet.
        granule: the position that it has reached.
        number: of its last page.
        is_ended: whether it has had its last page.
        damaged_at: the position before its first damaged or missing page, None for none.
    """

    packet: bytes
    granule: int = 0
    number: int = 0
    is_ended: bool = False
    damaged_at: int | None = None

    def add(self, page: Page) -> None:
        """Take the next page."""
        if page.granule != _UNFINISHED and page.is_whole:
            self.granule = page.granule
        self.is_ended = self.is_ended or bool(page.flags & _LAST_PAGE)
        self.number = page.number

    def mark_damage(self) -> None:
        """Remember how far the sound is whole."""
        if self.damaged_at is None:
            self.damaged_at = self.granule


@dataclass
class Link:
    """Streams that are played together: their pages lie among each other.

    Attributes:
        start: first byte.
        end: the byte behind the last whole page.
        streams: by their serial numbers, in the order of their first pages.
        is_cut: whether the file ends in the middle of the next page.
    """

    start: int
    end: int
    streams: dict[int, Stream] = field(default_factory=dict)
    is_cut: bool = False

    @property
    def is_ended(self) -> bool:
        """Whether all streams have had their last page."""
        return all(stream.is_ended for stream in self.streams.values())

    def add(self, page: Page, data: FileBytes) -> None:
        """Take the next page."""
        stream = self.streams.get(page.serial)
        if stream is None:
            body = page.start + _HEADER.size + data[page.start + 26]
            stream = Stream(data[body : min(body + 64, page.end)])
            self.streams[page.serial] = stream
        elif not page.is_whole or page.number != stream.number + 1:
            stream.mark_damage()
        stream.add(page)
        self.end = page.end

    def mark_damage(self) -> None:
        """Something lies between two pages, which may have been a page of any stream."""
        for stream in self.streams.values():
            if not stream.is_ended:
                stream.mark_damage()


def links(data: FileBytes, start: int, end: int) -> list[Link]:
    """The links of an Ogg file, in their order.

    What follows the last page of all streams, and is not a page, is not damage.
    """
    found: list[Link] = []
    reached = start
    for page in _pages(data, start, end):
        if not found or (page.flags & _FIRST_PAGE and found[-1].is_ended) or _restarts(found, page):
            if not page.is_whole and found:
                continue
            found.append(Link(page.start, page.end))
        elif page.start != reached:
            found[-1].mark_damage()
        found[-1].add(page, data)
        reached = page.end
    if found and not found[-1].is_ended and reached < end:
        found[-1].is_cut = ends_in_a_page(data, reached, end)
        if not found[-1].is_cut:
            found[-1].mark_damage()
    return found


def ends_in_a_page(data: FileBytes, at: int, end: int) -> bool:
    """Whether a page begins here and the file ends before it does."""
    head = data[at : min(at + _HEADER.size, end)]
    if not head.startswith(_MAGIC[: len(head)]):
        return False
    body = at + _HEADER.size + (head[26] if len(head) == _HEADER.size else 0)
    return body > end or len(head) < _HEADER.size or body + sum(data[at + 27 : body]) > end


def _restarts(found: list[Link], page: Page) -> bool:
    """Whether a stream begins although those before it lack their last pages."""
    link = found[-1]
    has_sound = any(stream.granule > 0 for stream in link.streams.values())
    return bool(page.flags & _FIRST_PAGE and page.is_whole and has_sound)


def _pages(data: FileBytes, start: int, end: int) -> Iterator[Page]:
    """All pages, also behind places where none begins."""
    at = start
    while (at := _next_page(data, at, end)) >= 0:
        page = _page(data, at, end)
        if page is None:
            at += 1
        else:
            yield page
            at = page.end


def _next_page(data: FileBytes, at: int, end: int) -> int:
    """The next place with the magic of a page, which most often is this one; -1 for none."""
    is_here = data[at : min(at + len(_MAGIC), end)] == _MAGIC
    return at if is_here else data.find(_MAGIC, at, end)


def _page(data: FileBytes, at: int, end: int) -> Page | None:
    """The page that begins here, None where it is cut off or what follows makes no sense."""
    head = data[at : at + _HEADER.size]
    if at + _HEADER.size > end:
        return None
    _, version, flags, granule, serial, number, checksum, segments = _HEADER.unpack(head)
    body = at + _HEADER.size + segments
    last = body + sum(data[at + _HEADER.size : body])
    if version or last > end:
        return None
    page = head[:22] + bytes(4) + head[26:] + data[at + _HEADER.size : last]
    is_whole = checksum == page_checksum(page)
    if not is_whole and data.find(_MAGIC, at + 4, last) >= 0:
        return None
    return Page(at, last, flags, granule, serial, number, is_whole)


def page_checksum(page: bytes) -> int:
    """CRC-32 with the generator 0x04c11db7, from the highest bit on, started at zero.

    zlib has the same generator from the lowest bit on, started and ended with an inversion.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
