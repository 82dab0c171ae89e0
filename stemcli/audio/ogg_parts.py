"""Where the sounds of an Ogg file lie: one part for each link of its chain."""

from __future__ import annotations

import struct
from pathlib import Path

from stemcli.audio.file_bytes import FileBytes
from stemcli.audio.ogg_pages import Link, Stream, ends_in_a_page, links
from stemcli.audio.part import Part
from stemcli.audio.source import cut_off

# The beginnings of the first packets (Vorbis I, 4.2.1; RFC 7845, 5.1; RFC 9639, 10.1; the Speex
# manual, "Ogg file format").
_VORBIS, _OPUS, _FLAC, _SPEEX = b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "
_NO_END = "the mark of its end is missing"
_HALF_A_PAGE = "its last page is incomplete"
_OPUS_CLOCK = 48000
"""Opus counts in these, whatever the sample rate of the sound (RFC 7845, section 4), in Hz."""


def ogg_parts(path: Path, data: FileBytes, start: int, end: int, track: int = 0) -> list[Part]:
    """The links of an Ogg file; none where no page is found.

    Args:
        path: the file.
        data: its bytes.
        start: where its first page begins.
        end: where it ends.
        track: number of the sound track from 0, whose pages decide what is missing.

    Raises:
        DecodeError: the file ends in its first page.
    """
    found = links(data, start, end)
    if not found and ends_in_a_page(data, start, end):
        raise cut_off(path, "its first page is incomplete")
    is_alone = len(found) == 1 and found[0].end == end and start == 0
    return [_part(path, link, track, is_alone=is_alone) for link in found]


def _part(path: Path, link: Link, track: int, *, is_alone: bool) -> Part:
    stream = _sound_stream(link, track)
    by_libsndfile = len(link.streams) == 1 and stream.packet.startswith((_VORBIS, _OPUS))
    pieces = () if is_alone and by_libsndfile else ((link.start, link.end),)
    flaw, at = _flaw(link, stream)
    muxer = "" if by_libsndfile else "ogg"
    cut = flaw in (_NO_END, _HALF_A_PAGE)
    return Part(path, pieces, muxer=muxer, flaw=flaw, flaw_at=at, breaks_off=cut)


def _sound_stream(link: Link, track: int) -> Stream:
    """The stream of a sound track, as ffmpeg numbers them: by their first pages.

    The first stream of all where there is no such track, which the decoder then says.
    """
    streams = list(link.streams.values())
    kinds = (_VORBIS, _OPUS, _FLAC, _SPEEX)
    sounds = [stream for stream in streams if stream.packet.startswith(kinds)]
    return sounds[track] if track < len(sounds) else streams[0]


def _flaw(link: Link, stream: Stream) -> tuple[str, float | None]:
    """What is wrong with a stream, and at how many seconds."""
    if stream.damaged_at is not None:
        clock = _clock(stream.packet)
        return "a page is damaged", stream.damaged_at / clock if clock else None
    if stream.is_ended:
        return "", None
    return (_HALF_A_PAGE if link.is_cut else _NO_END), None


def _clock(packet: bytes) -> int:
    """How many positions are one second; 0 where the codec is none of these."""
    if packet.startswith(_OPUS):
        return _OPUS_CLOCK
    at = {_VORBIS: 12, _SPEEX: 36}.get(packet[:7] if packet[:1] == b"\x01" else packet[:8])
    if at is not None and len(packet) >= at + 4:
        return int(struct.unpack_from("<I", packet, at)[0])
    return 0
