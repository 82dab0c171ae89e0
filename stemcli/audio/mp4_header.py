"""How much of an MP4's sound is music, and how much the encoder's padding.

AAC comes in frames of 1024 samples; the last one is filled up. ffmpeg before version 7 decodes the
filling too, so the length is read here from where encoders write it: Apple's ``iTunSMPB`` comment,
or the media header's duration less the start that the edit list skips (ISO/IEC 14496-12, 8.4.2 and
8.6.6).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

_CONTAINERS = {b"moov", b"trak", b"mdia", b"edts"}
_KEPT = {b"hdlr", b"mdhd", b"elst"}
Boxes = dict[bytes, bytes]


def real_frames(path: Path, sample_rate: int, stream: int = 0) -> int | None:
    """Samples per channel of a sound track without padding; None when nothing says so.

    Args:
        path: any file.
        sample_rate: of the sound, in Hz.
        stream: number of the track among those of sound. Apple's comment is about the first.
    """
    with path.open("rb") as file:
        if file.read(12)[4:8] != b"ftyp":
            return None
    counted = 0 if stream else _itunes_count(path)
    if counted:
        return counted
    heard = (boxes for boxes in _tracks(path) if boxes[b"hdlr"][8:12] == b"soun")
    track = next(islice(heard, stream, None), None)
    return _edited_length(track, sample_rate) if track else None


def _itunes_count(path: Path) -> int:
    """The fourth hexadecimal word of iTunSMPB; 0 when the file has none."""
    from mutagen import MutagenError
    from mutagen.mp4 import MP4

    try:
        tags: Any = MP4(path).tags
        comments = tags.get("----:com.apple.iTunes:iTunSMPB", [b""]) if tags else [b""]
        return int(bytes(comments[0]).split()[3], 16)
    except (MutagenError, IndexError, ValueError):
        return 0


def _edited_length(track: Boxes, sample_rate: int) -> int | None:
    if b"mdhd" not in track:
        return None
    scale, duration = _media_header(track[b"mdhd"])
    skipped = _skipped(track.get(b"elst", b""))
    if not scale or skipped is None or duration <= skipped:
        return None
    return round((duration - skipped) * sample_rate / scale)


def _media_header(box: bytes) -> tuple[int, int]:
    """Ticks per second and duration in ticks."""
    scale, duration = (
        struct.unpack_from(">IQ", box, 20) if box[0] else struct.unpack_from(">II", box, 12)
    )
    return scale, duration


def _skipped(box: bytes) -> int | None:
    """Ticks skipped at the start; None for an edit list that does more than that."""
    if len(box) < 8:
        return 0
    (count,) = struct.unpack_from(">I", box, 4)
    if count != 1:
        return None
    start: int = struct.unpack_from(">q" if box[0] else ">i", box, 16 if box[0] else 12)[0]
    return start if start >= 0 else None


def _tracks(path: Path) -> Iterator[Boxes]:
    """The boxes that matter of each track, in the order of the file."""
    found: Boxes = {}
    for name, body in _boxes(path):
        if name == b"trak":
            if b"hdlr" in found:
                yield found
            found = {}
        elif name in _KEPT:
            found.setdefault(name, body)
    if b"hdlr" in found:
        yield found


def _boxes(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Walk the boxes, descending into containers; only the small ones are read."""
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", header)
            start = file.tell()
            if size == 1:
                size = struct.unpack(">Q", file.read(8))[0]
            yield name, file.read(size - 8) if name in _KEPT and size < 65536 else b""
            if size < 8:
                return
            file.seek(start if name in _CONTAINERS else start + size - 8)
