"""Does an MP3 know its own length?

A Xing, Info or VBRI header counts the frames; without one, a length is a guess from the bit rate
of the first frame, which is wrong for every variable bit rate.
"""

from __future__ import annotations

from pathlib import Path

_SEARCHED = 4096  # bytes: the first frame is never longer, and the header lies inside it


def counts_its_frames(path: Path) -> bool:
    """Whether the first frame of an MP3 carries a header with the number of frames."""
    with path.open("rb") as file:
        head = file.read(10)
        file.seek(10 + _syncsafe(head[6:10]) if head[:3] == b"ID3" else 0)
        first = file.read(_SEARCHED)
    return any(word in first for word in (b"Xing", b"Info", b"VBRI"))


def _syncsafe(digits: bytes) -> int:
    """The size of an ID3v2 tag: four digits of seven bits (id3.org, ID3v2.4 section 6.2)."""
    value = 0
    for digit in digits:
        value = value << 7 | digit & 0x7F
    return value
