"""The length of a WMA, by the header of its container, ASF.

ffmpeg reads it too, but falls back on a guess from the bit rate where the size of the file is not
the one that the header names: just when it is asked how much is missing.
"""

from __future__ import annotations

import struct
from pathlib import Path

# ASF specification 1.20.03, sections 10.1 and 10.2; the first three fields have the low byte first.
_HEADER = bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C")
_FILE_PROPERTIES = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")
# Section 3.2: GUID, size of the object, name and size of the file, date, packets, duration in units
# of 100 ns, time to send, milliseconds of buffering that the duration includes, flags.
_FIELDS = struct.Struct("<16x8x16x8x8x8xQ8xQI")
_SEARCHED = 65536  # bytes; the object usually follows the first 30
_BROADCAST = 1  # flag of a stream whose length was not known


def asf_seconds(path: Path) -> float | None:
    """How long the sound lasts; None where the file is no ASF, or its header does not tell."""
    with path.open("rb") as file:
        head = file.read(_SEARCHED)
    at = head.find(_FILE_PROPERTIES)
    if not head.startswith(_HEADER) or not 0 <= at <= len(head) - _FIELDS.size:
        return None
    duration, buffering, flags = _FIELDS.unpack_from(head, at)
    seconds: float = duration / 1e7 - buffering / 1e3
    return None if flags & _BROADCAST or seconds <= 0 else seconds
