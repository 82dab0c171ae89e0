"""Does a FLAC go on where its header says that it ends?

libsndfile and everybody else stop reading at the header's number of samples. Every frame carries
its own number, so the last ones tell (RFC 9639, section 9.1).
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

_TAIL = 1 << 18  # bytes: two frames of 4096 samples in 8 channels of 32 bits
_START = re.compile(rb"(?=\xff\xf8(.{14}))", re.DOTALL)  # of a frame, in a stream of fixed blocks


def goes_on(path: Path, frames: int) -> bool:
    """Whether a block lies behind the first ``frames`` of a FLAC, and follows on another block."""
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"fLaC":
            return False
        file.seek(max(0, file.seek(0, 2) - _TAIL))
        tail = file.read()
    (block,) = struct.unpack_from(">H", head, 10)  # samples; of STREAMINFO, the maximum
    numbers = {_number(b"\xff\xf8" + match[1]) for match in _START.finditer(tail)} - {-1}
    return any(number * block >= frames and number - 1 in numbers for number in numbers)


def _number(header: bytes) -> int:
    """The number of a frame by its first bytes, -1 where they are no header."""
    code = header[4:].decode("utf-8", "ignore")[:1]
    sizes, rates = header[2] >> 4, header[2] & 15
    extra = {6: 1, 7: 2}.get(sizes, 0) + {12: 1, 13: 2, 14: 2}.get(rates, 0)
    end = 4 + len(code.encode()) + extra
    return ord(code) if code and _checksum(header[: end + 1]) == 0 else -1


def _checksum(data: bytes) -> int:
    """CRC-8 with the generator 0x07, of data with its checksum 0 (RFC 9639, section 9.1.8)."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1) ^ (0x107 if register & 0x80 else 0)
    return register
