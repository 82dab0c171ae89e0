"""Whether a WMA ends before its sound does: its container, ASF, counts its packets."""

from __future__ import annotations

import struct

from stemcli.audio.extent import Extent
from stemcli.audio.file_bytes import FileBytes

# ASF specification 1.20.03, sections 10.1 and 10.2; the first three fields have the low byte first.
_HEADER = bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C")
_FILE_PROPERTIES = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")
_DATA = bytes.fromhex("3626B2758E66CF11A6D900AA0062CE6C")
# Section 3.2: GUID, size of the object, name and size of the file, date, number of packets, two
# durations, milliseconds of buffering, flags, the smallest and the largest size of a packet.
_FIELDS = struct.Struct("<16x8x16x8x8xQ8x8x8xI4xI")
# Section 5.1: GUID, size of the object, name of the file, number of packets, two bytes.
_DATA_FIELDS = struct.Struct("<16xQ16xQ2x")
_SEARCHED = 65536  # bytes; the object usually follows the first 30
_BROADCAST = 1  # flag of a stream whose length was not known


def asf_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """Where the file ends; None where it is not ASF."""
    head = data[start : min(start + _SEARCHED, end)]
    if not head.startswith(_HEADER) or len(head) < 30:
        return None
    at = head.find(_FILE_PROPERTIES)
    (size,) = struct.unpack_from("<Q", head, 16)
    body = start + size
    if not 0 <= at <= len(head) - _FIELDS.size or data[body : body + 16] != _DATA:
        return Extent(end)
    packets, flags, packet = _FIELDS.unpack_from(head, at)
    if body + _DATA_FIELDS.size > end:
        return Extent(end, flaw="it ends before its sound")
    object_size, in_data = _DATA_FIELDS.unpack(data[body : body + _DATA_FIELDS.size])
    another = data.find(_HEADER, min(body + max(object_size, 16), end), end)
    end = another if another >= 0 else end
    counted = in_data or packets
    have = (end - body - _DATA_FIELDS.size) // packet if packet else 0
    if flags & _BROADCAST or not packet or not counted or have >= counted:
        return Extent(end)
    return Extent(end, flaw=f"{counted - have} of {counted} packets are missing")
