"""Containers that are sequences of packets without a count: FLV and MPEG transport streams."""

from __future__ import annotations

import re
from typing import NamedTuple

from stemcli.audio.extent import Extent
from stemcli.audio.file_bytes import FileBytes

_FLV_TAGS = {8, 9, 18}  # sound, pictures, data (Adobe, "Video File Format Specification" 10.1, E.4)
_FLV_TAG = re.compile(b"[%b]" % bytes(sorted(_FLV_TAGS)))
_TS_SYNC = 0x47
_TS_MARK = bytes([_TS_SYNC])
_TS_MARKS = re.compile(_TS_MARK)
# Length of a packet in bytes and where in it the sync byte stands (ISO/IEC 13818-1, 2.4.3.2):
# broadcast; with a time stamp before (Blu-ray, AVCHD); with a checksum behind (DVB-ASI).
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))
_TS_SURE, _TS_LEAST = 16, 3  # packets that have to follow each other: in a short file, all
_INCOMPLETE = "its last packet is incomplete"
_SEARCHED = 1 << 20  # bytes behind what is no tag, in which another is looked for
_DAMAGED = "packets are damaged"


def flv_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """Where the last tag of an FLV file ends; None where it is another."""
    if data[start : start + 3] != b"FLV" or start + 13 > end:
        return None
    at = start + int.from_bytes(data[start + 5 : start + 9], "big") + 4
    while (size := _flv_tag(data, at, end)) and at + size - 4 <= end:
        at = min(at + size, end)
    if size or (at < end < at + 11 and data[at] in _FLV_TAGS):
        return Extent(end, flaw=_INCOMPLETE)
    places = data.places(_FLV_TAG, at, min(at + _SEARCHED, end), 1)
    is_damaged = any(_begins_flv_again(data, place, end) for place in places)
    return Extent(end, flaw=_DAMAGED, breaks_off=False) if is_damaged else Extent(at)


def _flv_tag(data: FileBytes, at: int, end: int) -> int:
    """Bytes of the tag that begins here, with the size behind it; 0 where none does."""
    if at + 11 > end or data[at] not in _FLV_TAGS or any(data[at + 8 : at + 11]):
        return 0
    return 15 + int.from_bytes(data[at + 1 : at + 4], "big")


def _begins_flv_again(data: FileBytes, at: int, end: int) -> bool:
    size = _flv_tag(data, at, end)
    return bool(size) and data[at + size - 4 : at + size] == (size - 4).to_bytes(4, "big")


class TransportPackets(NamedTuple):
    """How the packets of a transport stream lie.

    Attributes:
        start: where the first whole one begins.
        size: of each, in bytes.
        sync: where in it the sync byte stands.
    """

    start: int
    size: int
    sync: int


def transport_packets(data: bytes | FileBytes, start: int, end: int) -> TransportPackets | None:
    """Where the packets of an MPEG transport stream lie; None where the file is another.

    A recording may begin in the middle of a packet.

    Args:
        data: a file, or its beginning.
        start: where it begins, behind tags.
        end: where it ends.
    """
    for size, sync in _TS_PACKETS:
        for at in range(start, min(start + size, end)):
            packets = TransportPackets(at, size, sync)
            if data[at + sync : at + sync + 1] == _TS_MARK and _follow(data, packets, at, end):
                return packets
    return None


def _follow(data: bytes | FileBytes, packets: TransportPackets, at: int, end: int) -> bool:
    """Whether packets follow each other from here on."""
    places = range(at + packets.sync, end, packets.size)[:_TS_SURE]
    return len(places) >= _TS_LEAST and all(data[place] == _TS_SYNC for place in places)


def ts_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """Where the last packet of a transport stream ends; None where the file is another."""
    packets = transport_packets(data, start, end)
    if packets is None:
        return None
    at, size, sync = packets
    while at + size <= end and data[at + sync] == _TS_SYNC:
        at += size
    if at < end < at + size and data[at + sync : min(at + sync + 1, end)] in (b"", _TS_MARK):
        return Extent(at, flaw=_INCOMPLETE)
    marks = data.places(_TS_MARKS, at, end, len(_TS_MARK))
    is_damaged = any(_follow(data, packets, mark - sync, end) for mark in marks)
    return Extent(end, flaw=_DAMAGED, breaks_off=False) if is_damaged else Extent(at)
