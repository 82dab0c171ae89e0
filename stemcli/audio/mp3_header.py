"""Does an MP3 know its own length?

A Xing, Info or VBRI header counts the frames and bytes; without one, a length is a guess from the
bit rate of the first frame, and libsndfile stops reading where the guess ends. So does it where a
count ends that was right before another file was appended.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_SEARCHED = 4096  # bytes: the first frame is never longer, and the header lies inside it
_SLACK = 4096 + 128  # bytes: zeros before the first frame, ID3v1 behind the last
_HAS_FRAMES, _HAS_BYTES = 1, 2


def counts_its_frames(path: Path) -> bool:
    """Whether a header counts the frames of an MP3, and no more sound follows than it counts."""
    with path.open("rb") as file:
        head = file.read(10)
        start = 10 + _syncsafe(head[6:10]) if head[:3] == b"ID3" else 0
        file.seek(start)
        counted = _counted_bytes(file.read(_SEARCHED))
        if counted is None:
            return False
        end = path.stat().st_size - _ape_tag_size(file)
    return not counted or end - start - counted <= _SLACK


def _counted_bytes(first: bytes) -> int | None:
    """Bytes that the header counts, 0 when only frames; None when it counts no frames."""
    for word in (b"Xing", b"Info"):
        at = first.find(word)
        if at >= 0 and len(first) >= at + 16:
            flags, _, size = struct.unpack_from(">III", first, at + 4)
            return (size if flags & _HAS_BYTES else 0) if flags & _HAS_FRAMES else None
    at = first.find(b"VBRI")
    if at >= 0 and len(first) >= at + 14:
        return int.from_bytes(first[at + 10 : at + 14], "big")
    return None


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
