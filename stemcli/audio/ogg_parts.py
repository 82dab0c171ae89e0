"""Where the sounds of an Ogg file lie: one part for each link of its chain."""

from __future__ import annotations

import struct
from pathlib import Path

from stemcli.audio.foreign_tags import Bytes
from stemcli.audio.ogg_pages import Link, links
from stemcli.audio.part import Part

# The beginnings of the first packets (Vorbis I, 4.2.1; RFC 7845, 5.1; the Speex manual, "Ogg file
# format").
_VORBIS, _OPUS, _SPEEX = b"\x01vorbis", b"OpusHead", b"Speex   "
_NO_END = "the mark of its end is missing"
_OPUS_CLOCK = 48000
"""Opus counts in these, whatever the sample rate of the sound (RFC 7845, section 4), in Hz."""


def ogg_parts(path: Path, data: Bytes, start: int, end: int) -> list[Part]:
    """The links of an Ogg file; none where no page is found."""
    found = links(data, start, end)
    is_alone = len(found) == 1 and found[0].end == end and start == 0
    return [_part(path, link, is_alone=is_alone) for link in found]


def _part(path: Path, link: Link, *, is_alone: bool) -> Part:
    packet = next(iter(link.packets.values()))
    by_libsndfile = len(link.packets) == 1 and packet.startswith((_VORBIS, _OPUS))
    pieces = () if is_alone and by_libsndfile else ((link.start, link.end),)
    flaw, at = _flaw(link, _clock(packet))
    muxer = "" if by_libsndfile else "ogg"
    cut = flaw == _NO_END
    return Part(path, pieces, muxer=muxer, flaw=flaw, flaw_at=at, breaks_off=cut)


def _flaw(link: Link, clock: int) -> tuple[str, float | None]:
    """What is wrong with a link, and at how many seconds."""
    if link.damaged_at is not None:
        return "a page is damaged", link.damaged_at / clock if clock else None
    return ("" if link.is_ended else _NO_END), None


def _clock(packet: bytes) -> int:
    """How many positions are one second; 0 where the codec is none of these."""
    if packet.startswith(_OPUS):
        return _OPUS_CLOCK
    at = {_VORBIS: 12, _SPEEX: 36}.get(packet[:7] if packet[:1] == b"\x01" else packet[:8])
    if at is not None and len(packet) >= at + 4:
        return int(struct.unpack_from("<I", packet, at)[0])
    return 0
