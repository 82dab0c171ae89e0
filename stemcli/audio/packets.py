"""Containers that are a row of packets and count nothing: FLV and MPEG transport streams."""

from __future__ import annotations

from stemcli.audio.extent import Extent
from stemcli.audio.foreign_tags import Bytes

_FLV_TAGS = {8, 9, 18}  # sound, pictures, data (Adobe, "Video File Format Specification" 10.1, E.4)
_TS_SYNC = 0x47
_TS_SIZES = (188, 192, 204)  # bytes: plain, with a time (M2TS), with error correction
_INCOMPLETE = "its last packet is incomplete"


def flv_extent(data: Bytes, start: int, end: int) -> Extent | None:
    """Where the last tag of an FLV file ends; None where it is another."""
    if data[start : start + 3] != b"FLV" or start + 13 > end:
        return None
    at = start + int.from_bytes(data[start + 5 : start + 9], "big") + 4
    while at + 11 <= end and data[at] in _FLV_TAGS and not any(data[at + 8 : at + 11]):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        if at + 11 + size > end:
            return Extent(end, flaw=_INCOMPLETE)
        at = min(at + 15 + size, end)
    is_cut = at < end < at + 11 and data[at] in _FLV_TAGS
    return Extent(end if is_cut else at, flaw=_INCOMPLETE if is_cut else "")


def ts_extent(data: Bytes, start: int, end: int) -> Extent | None:
    """Where the last packet of a transport stream ends (ISO/IEC 13818-1, section 2.4.3.2)."""
    for size in _TS_SIZES:
        first = start + (4 if size == 192 else 0)
        if all(first + k * size < end and data[first + k * size] == _TS_SYNC for k in range(4)):
            break
    else:
        return None
    at = start
    while at + size <= end and data[first + at - start] == _TS_SYNC:
        at += size
    is_cut = at < end and end - at < size and data[at] == _TS_SYNC
    return Extent(at, flaw=_INCOMPLETE if is_cut else "")
