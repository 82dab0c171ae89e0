"""Finds the frames of an MP3, and its number of samples.

A Xing, Info or VBRI header counts the frames, and LAME's tag in it the samples that encoder and
decoder add at both ends. libsndfile trusts such a header, and estimates without one. Therefore all
frames are counted here, and libsndfile gets only the frames, after a header with the right count.
If the file counts more frames than it has, its count is kept, and samples are reported as missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from stemcli.audio.containers.frames import MPEG_SYNC, Frame, FrameRun, counts_at, mpeg_audio, runs
from stemcli.audio.containers.part import FileBytes, FilePart
from stemcli.audio.containers.surrounding_tags import end_of_tags

_HAS_FRAMES, _HAS_BOTH, _HAS_TABLE, _HAS_QUALITY = 1, 3, 4, 8  # flags; both: frames and bytes
_DELAY = 529  # samples by which a decoder lags (LAME, "Technical FAQ")
_LAYER_3 = 3
_128_KBITS = {1: 0x90, 2: 0xC0, 25: 0xC0}  # the index of a bit rate in the third byte of a header
# Gaps of up to this many bytes are skipped with a note, as players do: less than two frames of the
# highest bit rate.
_SMALL_GAP = 2882
INCOMPLETE = "its last frame is incomplete"
_NO_FRAME = "no frame follows where one should"


def mp3_parts(path: Path, data: FileBytes, start: int, end: int) -> list[FilePart]:
    """The recordings of MPEG audio in a file, one or several in a row; empty if it has no frame.

    Args:
        path: the file.
        data: its bytes.
        start: where the first frame or tag begins.
        end: where the audio ends at the latest.
    """
    found = list(runs(data, start, end, mpeg_audio, MPEG_SYNC))
    if not found:
        return []
    links = list(_links(data, found))
    parts = []
    for number, link in enumerate(links):
        following = links[number + 1][0].start if number + 1 < len(links) else link[-1].end
        parts.append(_part(path, data, link, following))
        if parts[-1].is_damage:
            break
    return parts


def _links(data: FileBytes, found: list[FrameRun]) -> Iterable[list[FrameRun]]:
    """Group runs into recordings: a counting header or another rate or layer begins the next."""
    link: list[FrameRun] = []
    for run in found:
        if link and (run.first.is_header or run.first.kind != link[0].first.kind):
            yield link
            link = []
        link.append(run)
    yield link


def _part(path: Path, data: FileBytes, link: list[FrameRun], following: int) -> FilePart:
    flaw, is_damage = _flaw(data, link)
    if not is_damage and not _is_tags(data, link[-1].end, following):
        flaw, is_damage = _NO_FRAME, True
    if is_damage:
        link = link[: _first_large_gap(data, link) + 1]
    first = link[0]
    if first.first.kind[1] != _LAYER_3:
        return _for_ffmpeg(path, link, flaw, is_damage=is_damage)
    body = first.start + (first.first.size if first.first.is_header else 0)
    pieces = [(body, first.end), *((run.start, run.end) for run in link[1:])]
    frames = sum(run.samples for run in link) // first.first.samples
    size = sum(end - start for start, end in pieces)
    head, surplus = _header(data, first, frames, size)
    return FilePart(
        path,
        tuple(pieces),
        head,
        surplus=surplus,
        flaw=flaw,
        breaks_off=flaw == INCOMPLETE,
        is_damage=is_damage,
    )


def _flaw(data: FileBytes, link: list[FrameRun]) -> tuple[str, bool]:
    if _first_large_gap(data, link) < len(link):
        return _NO_FRAME, True
    gaps = [b.start - a.end for a, b in pairwise(link) if not _is_tags(data, a.end, b.start)]
    if gaps:
        return f"{sum(gaps)} bytes between its frames are not audio", False
    return (INCOMPLETE if link[-1].is_cut else ""), False


def _first_large_gap(data: FileBytes, link: list[FrameRun]) -> int:
    """Index of the run before the first large gap; the number of runs if there is none."""
    for number, (before, after) in enumerate(pairwise(link)):
        gap = after.start - before.end
        if gap > _SMALL_GAP and not _is_tags(data, before.end, after.start):
            return number
    return len(link)


def _is_tags(data: FileBytes, start: int, end: int) -> bool:
    return end_of_tags(data, start, end) == end


def _header(data: FileBytes, run: FrameRun, frames: int, size: int) -> tuple[bytes, int]:
    """The frame that counts the others, with correct counts, and the number of samples to skip."""
    frame = data[run.start : run.start + run.first.size]
    at = counts_at(frame) if run.first.is_header else None
    if at is None:
        return _new_header(frame, run.first, frames, size)
    is_fraunhofer = frame[at : at + 4] == b"VBRI"
    flags, counted = struct.unpack_from(">II", frame, at + 4)
    if is_fraunhofer:
        flags, counted = 0, int.from_bytes(frame[at + 14 : at + 18], "big")
    counted = counted if is_fraunhofer or flags & _HAS_FRAMES else 0
    if flags & _HAS_BOTH != _HAS_BOTH or not _has_delay(frame, at, flags):
        return _new_header(frame, run.first, max(frames, counted), size)
    counts = struct.pack(">II", max(frames, counted), len(frame) + size)
    return frame[: at + 8] + counts + frame[at + 16 :], 0


def _has_delay(frame: bytes, at: int, flags: int) -> bool:
    """Whether a tag follows with the number of samples that the encoder added."""
    tag = at + 16 + (100 if flags & _HAS_TABLE else 0) + (4 if flags & _HAS_QUALITY else 0)
    return bool(frame[tag : tag + 9].strip(b"\0")) and len(frame) >= tag + 24


def _new_header(frame: bytes, first: Frame, frames: int, size: int) -> tuple[bytes, int]:
    """Build an Info header and a silent frame, whose samples must be skipped.

    libsndfile removes the delay of a decoder from the beginning of the counted samples; without the
    silent frame it would remove audio.
    """
    version, _, _, is_mono = first.kind
    head = bytes([0xFF, frame[1] | 1, frame[2] & 0x0C | _128_KBITS[version], frame[3]])
    info = mpeg_audio(head)
    assert info is not None
    side = (17 if is_mono else 32) if version == 1 else (9 if is_mono else 17)
    counts = struct.pack(">4sIII", b"Info", _HAS_BOTH, frames + 1, 2 * info.size + size)
    silent = head.ljust(info.size, b"\0")
    return (head + bytes(side) + counts).ljust(info.size, b"\0") + silent, info.samples - _DELAY


def _for_ffmpeg(path: Path, link: list[FrameRun], flaw: str, *, is_damage: bool) -> FilePart:
    """The part of a recording in layer I or II, which ffmpeg decodes."""
    return FilePart(
        path,
        ((link[0].start, link[-1].end),),
        muxer="mp3",
        frames=sum(run.samples for run in link),
        flaw=flaw,
        breaks_off=flaw == INCOMPLETE,
        is_damage=is_damage,
    )
