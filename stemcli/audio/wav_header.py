"""WAV files whose header hides sound.

The size of a WAV's data is one 32-bit number. A recorder that was switched off, or a file beyond
4 GB, leaves a number that is too small, and every reader that trusts it cuts the song short. What
follows honest data is another chunk, a tag or nothing; anything else there is sound.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

# Some programs append a few bytes of rubbish; less than this is never taken for sound.
LEAST_SOUND = 65536  # bytes
_TAGS = (b"ID3", b"TAG", b"APET", b"\0")


def hides_sound(path: Path) -> bool:
    """Whether sound follows where the header of a RIFF WAV file says that it ends."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return False
        end = _end_of_data(file, path.stat().st_size)
        return end is not None and path.stat().st_size - end >= LEAST_SOUND


def _end_of_data(file: BinaryIO, size: int) -> int | None:
    """Where the data chunk ends, None when what follows it is honest or nothing follows."""
    seen = False
    while chunk := _chunk(file, size):
        seen = seen or chunk == b"data"
    position = file.tell()
    rest = file.read(4)
    return position if seen and rest and not rest.startswith(_TAGS) else None


def _chunk(file: BinaryIO, size: int) -> bytes:
    """Step over one chunk; empty, with the position unchanged, where no chunk begins."""
    start = file.tell()
    header = file.read(8)
    if len(header) == 8 and all(32 <= letter < 127 for letter in header[:4]):
        (length,) = struct.unpack("<I", header[4:])
        if start + 8 + length <= size:
            file.seek(start + 8 + length + length % 2)
            return header[:4]
    file.seek(start)
    return b""
