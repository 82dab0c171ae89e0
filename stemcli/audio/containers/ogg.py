"""Parses Ogg pages and chained streams (links): one part for each link.

Every page has a checksum and a number, but libsndfile silently skips pages with a wrong checksum,
so the song only gets shorter (RFC 3533, section 6). A file may contain several streams in a row,
its links (section 4); libsndfile reads only the first.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stemcli.audio.containers.part import FileBytes, FilePart
from stemcli.audio.info import cut_off

_MAGIC = b"OggS"
_HEADER = struct.Struct("<4sBBqIIIB")
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_UNFINISHED = -1  # granule position of a page on which no packet ends
_FIRST_PAGE, _LAST_PAGE = 2, 4  # flags of the pages that begin and end a stream


class Page(NamedTuple):
    """One page of an Ogg file."""

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
        granule: the position reached so far.
        number: of its last page so far.
        is_ended: whether the page that ends the stream was read.
        damaged_at: the position before its first damaged or missing page; None if undamaged.
    """

    packet: bytes
    granule: int = 0
    number: int = 0
    is_ended: bool = False
    damaged_at: int | None = None

    def add(self, page: Page) -> None:
        """Add the next page."""
        if page.granule != _UNFINISHED and page.is_whole:
            self.granule = page.granule
        self.is_ended = self.is_ended or bool(page.flags & _LAST_PAGE)
        self.number = page.number

    def mark_damage(self) -> None:
        """Store the position up to which the stream is undamaged."""
        if self.damaged_at is None:
            self.damaged_at = self.granule


@dataclass
class Link:
    """Multiplexed streams, whose pages are interleaved.

    Attributes:
        start: first byte.
        end: the byte after the last complete page.
        streams: by their serial numbers, in the order of their first pages.
        is_cut: whether the file ends in the middle of the next page.
    """

    start: int
    end: int
    streams: dict[int, Stream] = field(default_factory=dict)
    is_cut: bool = False

    @property
    def is_ended(self) -> bool:
        """Whether all streams are ended."""
        return all(stream.is_ended for stream in self.streams.values())

    def add(self, page: Page, data: FileBytes) -> None:
        """Add the next page."""
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
        """Mark all streams as damaged: bytes between two pages may be a page of any stream."""
        for stream in self.streams.values():
            if not stream.is_ended:
                stream.mark_damage()


def links(data: FileBytes, start: int, end: int) -> list[Link]:
    """The links of an Ogg file, in their order.

    Other data after the last page of all streams does not count as damage.
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
    """Whether an incomplete page begins at ``at``."""
    head = data[at : min(at + _HEADER.size, end)]
    if not head.startswith(_MAGIC[: len(head)]):
        return False
    body = at + _HEADER.size + (head[26] if len(head) == _HEADER.size else 0)
    return body > end or len(head) < _HEADER.size or body + sum(data[at + 27 : body]) > end


def _restarts(found: list[Link], page: Page) -> bool:
    """Whether a new link begins although streams before it lack their last pages."""
    link = found[-1]
    has_sound = any(stream.granule > 0 for stream in link.streams.values())
    return bool(page.flags & _FIRST_PAGE and page.is_whole and has_sound)


def _pages(data: FileBytes, start: int, end: int) -> Iterator[Page]:
    """Iterate over all pages, including those after other data."""
    at = start
    while (at := _next_page(data, at, end)) >= 0:
        page = _page(data, at, end)
        if page is None:
            at += 1
        else:
            yield page
            at = page.end


def _next_page(data: FileBytes, at: int, end: int) -> int:
    """The next position of a page's magic number, usually ``at``; -1 if there is none."""
    is_here = data[at : min(at + len(_MAGIC), end)] == _MAGIC
    return at if is_here else data.find(_MAGIC, at, end)


def _page(data: FileBytes, at: int, end: int) -> Page | None:
    """The page that begins at ``at``; None if it is truncated or invalid."""
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
    """CRC-32 with the generator 0x04c11db7, highest bit first, starting at zero.

    zlib uses the same generator, lowest bit first, with an inversion at both ends.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


# The beginnings of the first packets (Vorbis I, 4.2.1; RFC 7845, 5.1; RFC 9639, 10.1; the Speex
# manual, "Ogg file format").
_VORBIS, _OPUS, _FLAC, _SPEEX = b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "
_NO_END = "the mark of its end is missing"
_HALF_A_PAGE = "its last page is incomplete"
_OPUS_CLOCK = 48000
"""Positions in Opus count at this rate in Hz, at any sample rate (RFC 7845, section 4)."""


def ogg_parts(path: Path, data: FileBytes, start: int, end: int, track: int = 0) -> list[FilePart]:
    """The links of an Ogg file; empty if it has no page.

    Args:
        path: the file.
        data: its bytes.
        start: where its first page begins.
        end: where it ends.
        track: number of the audio track from 0, whose pages are checked for damage.

    Raises:
        DecodeError: the file ends in its first page.
    """
    found = links(data, start, end)
    if not found and ends_in_a_page(data, start, end):
        raise cut_off(path, "its first page is incomplete")
    is_alone = len(found) == 1 and found[0].end == end and start == 0
    return [_part(path, link, track, is_alone=is_alone) for link in found]


def _part(path: Path, link: Link, track: int, *, is_alone: bool) -> FilePart:
    stream = _sound_stream(link, track)
    by_libsndfile = len(link.streams) == 1 and stream.packet.startswith((_VORBIS, _OPUS))
    pieces = () if is_alone and by_libsndfile else ((link.start, link.end),)
    flaw, at = _flaw(link, stream)
    muxer = "" if by_libsndfile else "ogg"
    cut = flaw in (_NO_END, _HALF_A_PAGE)
    return FilePart(path, pieces, muxer=muxer, flaw=flaw, flaw_at=at, breaks_off=cut)


def _sound_stream(link: Link, track: int) -> Stream:
    """The stream of an audio track, numbered like in ffmpeg by their first pages.

    If there is no such track, the first stream; the decoder reports the missing track.
    """
    streams = list(link.streams.values())
    kinds = (_VORBIS, _OPUS, _FLAC, _SPEEX)
    sounds = [stream for stream in streams if stream.packet.startswith(kinds)]
    return sounds[track] if track < len(sounds) else streams[0]


def _flaw(link: Link, stream: Stream) -> tuple[str, float | None]:
    """The defect of a stream, and its time in seconds."""
    if stream.damaged_at is not None:
        clock = _clock(stream.packet)
        return "a page is damaged", stream.damaged_at / clock if clock else None
    if stream.is_ended:
        return "", None
    return (_HALF_A_PAGE if link.is_cut else _NO_END), None


def _clock(packet: bytes) -> int:
    """Positions per second; 0 for other codecs."""
    if packet.startswith(_OPUS):
        return _OPUS_CLOCK
    at = {_VORBIS: 12, _SPEEX: 36}.get(packet[:7] if packet[:1] == b"\x01" else packet[:8])
    if at is not None and len(packet) >= at + 4:
        return int(struct.unpack_from("<I", packet, at)[0])
    return 0
