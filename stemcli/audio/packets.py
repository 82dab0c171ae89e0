"""Containers that are a row of packets and count nothing: FLV and MPEG transport streams."""

from __future__ import annotations

from stemcli.audio.extent import Extent
from stemcli.audio.foreign_tags import Bytes

_FLV_TAGS = {8, 9, 18}  # sound, pictures, data (Adobe, "Video File Format Specification" 10.1, E.4)
_TS_SYNC = 0x47
_TS_SIZES = (188, 192, 204)  # bytes: plain, with a time (M2TS), with error correction
_INCOMPLETE = "its last packet is incomplete"
_SEARCHED = 1 << 20  # bytes behind what is no tag, in which another is looked for
_DAMAGED = "packets are damaged"


def flv_extent(data: Bytes, start: int, end: int) -> Extent | None:
    """Where the last tag of an FLV file ends; None where it is another."""
    if data[start : start + 3] != b"FLV" or start + 13 > end:
        return None
    at = start + int.from_bytes(data[start + 5 : start + 9], "big") + 4
    while (size := _flv_tag(data, at, end)) and at + size - 4 <= end:
        at = min(at + size, end)
    if size or (at < end < at + 11 and data[at] in _FLV_TAGS):
        return Extent(end, flaw=_INCOMPLETE)
    is_damaged = any(
        _begins_flv_again(data, place, end) for place in range(at, min(at + _SEARCHED, end))
    )
    return Extent(end, flaw=_DAMAGED, breaks_off=False) if is_damaged else Extent(at)


def _flv_tag(data: Bytes, at: int, end: int) -> int:
    """Bytes of the tag that begins here, with the size behind it; 0 where none does."""
    if at + 11 > end or data[at] not in _FLV_TAGS or any(data[at + 8 : at + 11]):
        return 0
    return 15 + int.from_bytes(data[at + 1 : at + 4], "big")


def _begins_flv_again(data: Bytes, at: int, end: int) -> bool:
    size = _flv_tag(data, at, end)
    return bool(size) and data[at + size - 4 : at + size] == (size - 4).to_bytes(4, "big")


def ts_extent(data: Bytes, start: int, end: int) -> Extent | None:
    """Where the last packet of a transport stream ends (ISO/IEC 13818-1, section 2.4.3.2)."""
    size = next((size for size in _TS_SIZES if _begins_ts(data, start, end, size)), 0)
    if not size:
        return None
    at, offset = start, _ts_offset(size)
    while at + size <= end and data[at + offset] == _TS_SYNC:
        at += size
    if at < end and end - at < size and data[at] == _TS_SYNC:
        return Extent(at, flaw=_INCOMPLETE)
    again = data.find(bytes([_TS_SYNC]), at, end)
    while again >= 0 and not _begins_ts(data, again - offset, end, size):
        again = data.find(bytes([_TS_SYNC]), again + 1, end)
    return Extent(at) if again < 0 else Extent(end, flaw=_DAMAGED, breaks_off=False)


def _begins_ts(data: Bytes, at: int, end: int, size: int) -> bool:
    """Whether four packets of this size follow each other."""
    places = [at + _ts_offset(size) + number * size for number in range(4)]
    return places[-1] < end and all(data[place] == _TS_SYNC for place in places)


def _ts_offset(size: int) -> int:
    """Bytes of time before the sync byte of an M2TS packet."""
    return 4 if size == 192 else 0
