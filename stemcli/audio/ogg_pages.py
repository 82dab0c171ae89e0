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

from stemcli.audio.foreign_tags import Bytes

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
class Link:
    """Streams that are played together: their pages lie among each other.

    Attributes:
        start: first byte.
        end: the byte behind the last page.
        packets: the beginning of the first packet of each stream, by the stream's serial number.
        granules: the position that each stream has reached.
        numbers: of the last page of each stream.
        ended: the streams that have had their last page.
        damaged_at: the position before the first damaged or missing page, None for none.
    """

    start: int
    end: int
    packets: dict[int, bytes] = field(default_factory=dict)
    granules: dict[int, int] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    damaged_at: int | None = None

    @property
    def is_ended(self) -> bool:
        """Whether all streams have had their last page."""
        return self.ended >= set(self.packets)

    def add(self, page: Page, data: Bytes) -> None:
        """Take the next page."""
        serial = page.serial
        if serial not in self.packets:
            body = page.start + _HEADER.size + data[page.start + 26]
            self.packets[serial] = data[body : min(body + 64, page.end)]
            self.granules[serial] = 0
        elif not page.is_whole or page.number != self.numbers[serial] + 1:
            self.mark_damage()
        if page.granule != _UNFINISHED and page.is_whole:
            self.granules[serial] = page.granule
        if page.flags & _LAST_PAGE:
            self.ended.add(serial)
        self.numbers[serial], self.end = page.number, page.end

    def mark_damage(self) -> None:
        """Remember how far the sound is whole."""
        if self.damaged_at is None:
            self.damaged_at = max(self.granules.values())


def links(data: Bytes, start: int, end: int) -> list[Link]:
    """The links of an Ogg file, in their order.

    What follows the last page of all streams, and is none, is not damage.
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
        found[-1].mark_damage()
    return found


def _restarts(found: list[Link], page: Page) -> bool:
    """Whether a stream begins although those before it lack their last pages."""
    link = found[-1]
    has_sound = any(granule > 0 for granule in link.granules.values())
    return bool(page.flags & _FIRST_PAGE and page.is_whole and has_sound)


def _pages(data: Bytes, start: int, end: int) -> Iterator[Page]:
    """All pages, also behind places where none begins."""
    at = start
    while (at := data.find(b"OggS", at, end)) >= 0:
        page = _page(data, at, end)
        if page is None:
            at += 1
        else:
            yield page
            at = page.end


def _page(data: Bytes, at: int, end: int) -> Page | None:
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
    if not is_whole and data.find(b"OggS", at + 4, last) >= 0:
        return None
    return Page(at, last, flags, granule, serial, number, is_whole)


def page_checksum(page: bytes) -> int:
    """CRC-32 with the generator 0x04c11db7, from the highest bit on, started at zero.

    zlib has the same generator from the lowest bit on, started and ended with an inversion.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
