"""How many frames the header of an AIFF promises.

libsndfile goes by the size of the sound's chunk, and where the file ends before that, by what is
left of it.
"""

from __future__ import annotations

import struct
from pathlib import Path

# A "COMM" chunk: name, size, channels, frames, bits per sample (AIFF 1.3, Apple 1989, p. 5).
_COMMON = struct.Struct(">4sIHIH")
_SEARCHED = 4096  # bytes; the chunk usually follows the first 12
# Programs that write into a pipe promise this many bytes or more where they do not know the size.
_PLACEHOLDER = 0x7F000000


def counted_frames(path: Path) -> int:
    """Frames that the common chunk counts; 0 where there is none, or where nobody counted."""
    with path.open("rb") as file:
        head = file.read(_SEARCHED)
    at = head.find(b"COMM")
    if head[8:12] not in (b"AIFF", b"AIFC") or not 0 <= at <= len(head) - _COMMON.size:
        return 0
    _, _, channels, frames, bits = _COMMON.unpack_from(head, at)
    return 0 if frames * channels * -(-bits // 8) >= _PLACEHOLDER else int(frames)
