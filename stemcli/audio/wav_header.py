"""WAV files whose header hides sound, or promises more than there is.

The size of a WAV's data is one 32-bit number. A recorder that was switched off, or a file beyond
4 GB, leaves a number that is too small, and every reader that trusts it cuts the song short. What
follows honest data is another chunk, a tag, zeros or nothing; anything else there is sound.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Some programs append a few bytes of rubbish; less than this is never taken for sound.
LEAST_SOUND = 65536  # bytes
_TAGS = (b"ID3", b"TAG", b"APET")
# Programs that write into a pipe leave a number from here on where they do not know the size.
_PLACEHOLDER = 0x7FFFF000


def hides_sound(path: Path) -> bool:
    """Whether sound follows where the header of a RIFF WAV file says that it ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return False
        lengths = dict(_chunks(file, size))
        if lengths.get(b"data") == 0:
            return file.tell() < size
        return b"data" in lengths and size - file.tell() >= LEAST_SOUND and _is_sound(file)


def promised_share(path: Path) -> float:
    """How many times as much data the header of a RIFF WAV file promises as is in the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(12)[8:] != b"WAVE":
            return 1.0
        for _ in _chunks(file, size):
            pass
        header, start = file.read(8), file.tell()
    if len(header) < 8 or header[:4] != b"data":
        return 1.0
    length = int.from_bytes(header[4:], "little")
    return length / (size - start) if start < size and 0 < length < _PLACEHOLDER else 1.0


def _is_sound(file: BinaryIO) -> bool:
    """Whether the rest of the file is neither a tag nor all zeros."""
    if file.read(4).startswith(_TAGS):
        return False
    file.seek(-4, 1)
    return any(any(piece) for piece in iter(lambda: file.read(LEAST_SOUND), b""))


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Names and lengths of the chunks, up to data without length or to what is no chunk."""
    while chunk := _chunk(file, size):
        yield chunk
        if chunk == (b"data", 0):
            return


def _chunk(file: BinaryIO, size: int) -> tuple[bytes, int] | None:
    """Step over one chunk, give its name and length; None, without a step, where none begins."""
    start = file.tell()
    header = file.read(8)
    if len(header) == 8 and all(32 <= letter < 127 for letter in header[:4]):
        name, length = struct.unpack("<4sI", header)
        if start + 8 + length <= size:
            file.seek(start + 8 + length + length % 2)
            return name, length
    file.seek(start)
    return None
