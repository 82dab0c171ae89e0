"""Does an MP3 know its own length?

A Xing, Info or VBRI header counts the frames and bytes; without one, a length is a guess from the
bit rate of the first frame, and libsndfile stops reading where the guess ends. So does it where a
count ends that was right before another file was appended, or before the header was damaged.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_SEARCHED = 4096  # bytes: the first frame is never longer, and the header lies inside it
_SLACK = 4096 + 128  # bytes: zeros before the first frame, ID3v1 behind the last
_LONGEST_FRAME = 1441  # bytes: 320 kbit/s at 32 kHz (ISO/IEC 11172-3, 2.4.3.1)
_HAS_FRAMES, _HAS_BYTES = 1, 2


def counted_frames(path: Path) -> int | None:
    """MPEG frames that a header counts; None without one, and where it is wrong.

    It is where more follows than it counts, or where it counts too many bytes for its frames.
    """
    with path.open("rb") as file:
        head = file.read(10)
        start = 10 + _syncsafe(head[6:10]) if head[:3] == b"ID3" else 0
        file.seek(start)
        frames, size = _counts(file.read(_SEARCHED))
        end = path.stat().st_size - _ape_tag_size(file)
    if not frames or not size:
        return frames
    is_sane = size <= (frames + 1) * _LONGEST_FRAME
    return frames if is_sane and end - start - size <= _SLACK else None


def _counts(first: bytes) -> tuple[int | None, int | None]:
    """Frames and bytes that the header counts; None for what it does not count."""
    for word in (b"Xing", b"Info"):
        at = first.find(word)
        if at >= 0 and len(first) >= at + 16:
            flags, frames, size = struct.unpack_from(">III", first, at + 4)
            if flags & _HAS_FRAMES:
                return frames, size if flags & _HAS_BYTES else None
    at = first.find(b"VBRI")
    if at >= 0 and len(first) >= at + 18:
        size, frames = struct.unpack_from(">II", first, at + 10)
        return frames, size
    return None, None


def _ape_tag_size(file: BinaryIO) -> int:
    """Bytes of an APEv2 tag at the end, by its footer of 32 bytes, which an ID3v1 may follow."""
    file.seek(max(0, file.seek(0, 2) - 160))
    tail = file.read()
    at = tail.rfind(b"APETAGEX")
    return 32 + int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0


def _syncsafe(digits: bytes) -> int:
    """The size of an ID3v2 tag: four digits of seven bits (id3.org, ID3v2.4 section 6.2)."""
    value = 0
    for digit in digits:
        value = value << 7 | digit & 0x7F
    return value
