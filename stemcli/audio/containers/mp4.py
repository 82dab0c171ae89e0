"""Finds the length of an MP4's audio without the encoder's padding, and the end of the file.

AAC has frames of 1024 samples; the last one is padded. ffmpeg before version 7 decodes the padding
too, so the length is read from where encoders store it: Apple's ``iTunSMPB`` comment, or the edit
list and the duration in the media header (ISO/IEC 14496-12, 8.4.2 and 8.6.6).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from stemcli.audio.containers.part import Extent, FileBytes

_CONTAINERS = {b"moov", b"trak", b"mdia", b"edts"}
_KEPT = {b"hdlr", b"mvhd", b"mdhd", b"elst"}
_SOUND = {b"mdat", b"moof"}
_BEGINNINGS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
_NO_INDEX = "its index is missing, as after a recording or download that did not finish"
_HALF_AN_INDEX = "its index is incomplete, as after a recording or download that did not finish"
Boxes = dict[bytes, bytes]


class Edit(NamedTuple):
    """An entry of an edit list: duration in ticks of the movie, start in ticks of the media."""

    duration: int
    start: int


def mp4_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of an MP4, M4A or MOV; None if the file is not one."""
    if data[start + 4 : start + 8] not in _BEGINNINGS:
        return None
    at, names, size, name = start, set[bytes](), 0, b""
    while at + 8 <= end:
        size, name = data.unpack(">I4s", at)
        if size == 1 and at + 16 <= end:
            (size,) = data.unpack(">Q", at + 8)
        is_cut = size == 0 or at + size > end
        if size < 8 or is_cut or not _is_box(data, at, size, name, end):
            break
        if name == b"ftyp" and at > start:
            break
        names.add(name)
        at += size
    if b"moov" not in names:
        return Extent(end, flaw=_HALF_AN_INDEX if name == b"moov" else _NO_INDEX)
    if at < end and name in _SOUND and (size == 0 or at + size > end):
        return Extent(end, flaw="it ends in the middle of its sound" if size else "")
    return Extent(at)


def _is_box(data: FileBytes, at: int, size: int, name: bytes, end: int) -> bool:
    """Whether this can be a box: names may have blanks and the copyright sign of QuickTime.

    A box with any other name is accepted if the file ends after it or a known box follows.
    """
    behind = at + size
    follower = data[behind + 4 : behind + 8]
    return min(name) >= ord(" ") or behind == end or follower in _BEGINNINGS | _SOUND


def real_frames(path: Path, sample_rate: int, stream: int = 0, at: int = 0) -> int | None:
    """Samples per channel of an audio track without padding; None if unknown.

    Args:
        path: any file.
        sample_rate: of the track, in Hz.
        at: where the file begins, after tags.
        stream: number of the track among the audio tracks. Apple's comment describes the first.
    """
    with path.open("rb") as file:
        file.seek(at)
        if file.read(12)[4:8] != b"ftyp":
            return None
    counted = 0 if stream or at else _itunes_count(path)
    if counted:
        return counted
    movie_scale = _ticks_per_second(next(_bodies(path, at, b"mvhd"), b""))
    sounds = (boxes for boxes in _tracks(path, at) if boxes[b"hdlr"][8:12] == b"soun")
    track = next(islice(sounds, stream, None), None)
    return _edited_length(track, sample_rate, movie_scale) if track else None


def movie_tick(path: Path, sample_rate: int, at: int = 0) -> int:
    """Samples in one tick of an MP4's movie header, the unit of edit lists; 0 for other files.

    ffmpeg from version 7 on ends the track there, earlier versions at the end of the media.
    """
    with path.open("rb") as file:
        file.seek(at)
        if file.read(12)[4:8] != b"ftyp":
            return 0
    scale = _ticks_per_second(next(_bodies(path, at, b"mvhd"), b""))
    return -(-sample_rate // scale) if scale else 0


def _itunes_count(path: Path) -> int:
    """The fourth hexadecimal word of iTunSMPB; 0 if the file has none."""
    from mutagen import MutagenError
    from mutagen.mp4 import MP4

    try:
        tags: Any = MP4(path).tags
        comments = tags.get("----:com.apple.iTunes:iTunSMPB", [b""]) if tags else [b""]
        return int(bytes(comments[0]).split()[3], 16)
    except (MutagenError, IndexError, ValueError):
        return 0


def _edited_length(track: Boxes, sample_rate: int, movie_scale: int) -> int | None:
    """Samples of the only entry of the edit list; None if unknown or if there are several.

    For several entries ffmpeg decodes whole frames, so their sum is not the decoded length.
    """
    if b"mdhd" not in track:
        return None
    scale, duration = _media_header(track[b"mdhd"])
    played = [edit for edit in _edits(track.get(b"elst", b"")) if edit.start >= 0]
    if not scale or not duration or len(played) > 1:
        return None
    start = played[0].start if played else 0
    ticks = duration - start
    if played and played[0].duration and movie_scale:
        edited = played[0].duration * scale / movie_scale
        is_to_the_end = edited > ticks - 2 * scale / movie_scale  # the movie's ticks are coarse
        ticks = ticks if is_to_the_end else round(edited)
    return round(ticks * sample_rate / scale) if ticks > 0 else None


def _media_header(box: bytes) -> tuple[int, int]:
    """Ticks per second and duration in ticks."""
    scale, duration = (
        struct.unpack_from(">IQ", box, 20) if box[0] else struct.unpack_from(">II", box, 12)
    )
    return scale, duration


def _ticks_per_second(box: bytes) -> int:
    """Ticks per second of the movie header; 0 without one (ISO/IEC 14496-12, 8.2.2)."""
    at = 20 if box[:1] == b"\1" else 12
    return int.from_bytes(box[at : at + 4], "big")


def _edits(box: bytes) -> list[Edit]:
    """Parse the edit list; entries that start at -1 are silence (ISO/IEC 14496-12, 8.6.6)."""
    if len(box) < 8:
        return []
    entry = struct.Struct(">Qq4x" if box[0] else ">Ii4x")
    count = min(int.from_bytes(box[4:8], "big"), (len(box) - 8) // entry.size)
    return [Edit(*entry.unpack_from(box, 8 + number * entry.size)) for number in range(count)]


def _tracks(path: Path, at: int) -> Iterator[Boxes]:
    """The relevant boxes of each track, in the order of the file."""
    found: Boxes = {}
    for name, body in _boxes(path, at):
        if name == b"trak":
            if b"hdlr" in found:
                yield found
            found = {}
        elif name in _KEPT:
            found.setdefault(name, body)
    if b"hdlr" in found:
        yield found


def _bodies(path: Path, at: int, name: bytes) -> Iterator[bytes]:
    return (body for each, body in _boxes(path, at) if each == name)


def _boxes(path: Path, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the boxes, descending into containers; only small boxes are read."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        file.seek(at)
        while len(header := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", header)
            start = file.tell()
            if size == 1:
                size = int.from_bytes(file.read(8), "big")
            is_read = name in _KEPT and 8 <= size < 65536
            yield name, file.read(size - 8) if is_read else b""
            if size < 8 or (start + size - 8 > end and name not in _CONTAINERS):
                return
            file.seek(start if name in _CONTAINERS else start + size - 8)
