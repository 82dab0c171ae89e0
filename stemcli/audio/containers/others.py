"""Containers that ffmpeg reads: where they end, and how much is missing by their own count.

Elements store their length, unless a program wrote to a pipe. A truncated cluster may lack audio; a
truncated index or truncated tags are no loss.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stemcli.audio.containers.mp4 import mp4_extent
from stemcli.audio.containers.part import ANOTHER, Extent, FileBytes, FilePart
from stemcli.audio.containers.surrounding_tags import begins_alike, end_of_tags

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
_BROADCAST = 1  # flag of a stream whose length is unknown


def asf_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of an ASF file; None if the file is not ASF."""
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
        return Extent(end, flaw="it ends before its audio data")
    object_size, in_data = _DATA_FIELDS.unpack(data[body : body + _DATA_FIELDS.size])
    another = data.find(_HEADER, min(body + max(object_size, 16), end), end)
    end = another if another >= 0 else end
    counted = in_data or packets
    have = (end - body - _DATA_FIELDS.size) // packet if packet else 0
    if flags & _BROADCAST or not packet or not counted or have >= counted:
        return Extent(end)
    return Extent(end, flaw=f"{counted - have} of {counted} packets are missing")


_PLACEHOLDER = 0x7F000000  # bytes; the size written to a pipe if it is unknown
_CHUNK = "<4sI"
_DAMAGED_AVI = "chunks are damaged"


def avi_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of an AVI file, up to its last RIFF; None if the file is not AVI."""
    at = start
    while data[at : at + 4] == b"RIFF" and data[at + 8 : at + 11] == b"AVI":
        (size,) = data.unpack("<I", at + 4)
        movie = _end_of_movie(data, at + 12, end)
        if movie is not None and movie > end:
            return Extent(end, flaw="it ends in the middle of its sound and pictures")
        if movie is not None and not _leads_on(data, movie + (movie - at) % 2, at + 8 + size):
            return Extent(end, flaw=_DAMAGED_AVI, breaks_off=False)
        at = max(at + 8 + size + size % 2, movie or 0)
        if at >= end or movie is None or not 0 < size < _PLACEHOLDER:
            return Extent(end)
    return Extent(at) if at > start else None


def _leads_on(data: FileBytes, at: int, end: int) -> bool:
    """Whether another chunk or the end of the file follows the audio and video data.

    It does not if bytes were inserted or lost before. Chunks are padded to even lengths, so ``at``
    must be an even distance from the start of the RIFF, which a tag may shift to an odd position.
    """
    name, size = data[at : at + 4], data[at + 4 : at + 8]
    if at + 8 > end or len(size) < 4:
        return True
    is_name = all(32 <= character < 127 for character in name)
    return is_name and at + 8 + int.from_bytes(size, "little") <= end + 1


def _end_of_movie(data: FileBytes, at: int, end: int) -> int | None:
    """The end of the list of audio and video data; None if it has no size or is missing."""
    while at + 8 <= end:
        name, size = data.unpack(_CHUNK, at)
        if size >= _PLACEHOLDER:
            return None
        if name == b"LIST" and data[at + 8 : at + 12] == b"movi":
            return int(at + 8 + size) if size else None
        at += 8 + size + size % 2
    return None


_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_CUES, _TAGS, _ATTACHMENTS = 0x1C53BB6B, 0x1254C367, 0x1941A469
_TOP = {_CLUSTER, _CUES, _TAGS, _ATTACHMENTS, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1043A770}
_CLUSTER_BYTES = _CLUSTER.to_bytes(4, "big")
_DAMAGED_MATROSKA = "an element is damaged"
_VOID, _CHECKSUM = 0xEC, 0xBF
_IN_CLUSTER = {0xE7, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0x5854}


class Element(NamedTuple):
    """One element: its identifier, the offset of its body, and its size; None if unknown."""

    id: int
    start: int
    size: int | None


def matroska_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of a Matroska file; None if the file is not Matroska."""
    head = _element(data, start, end)
    if head is None or head.id != _EBML or head.size is None:
        return None
    at, flaw = head.start + head.size, ""
    while (segment := _element(data, at, end)) is not None and segment.id in (_SEGMENT, _EBML):
        if segment.id == _EBML:
            at = segment.start + (segment.size or 0)
            continue
        at, flaw = _segment(data, segment, end)
        if flaw:
            break
    return Extent(min(at, end), flaw=flaw, breaks_off=flaw != _DAMAGED_MATROSKA)


def _segment(data: FileBytes, segment: Element, end: int) -> tuple[int, str]:
    """The end of a segment, and its defect."""
    last = end if segment.size is None else segment.start + segment.size
    at = segment.start
    while at < min(last, end):
        element = _element(data, at, end)
        if element is None or element.id not in _TOP | {_VOID, _CHECKSUM}:
            break
        if element.size is None:
            at = _end_of_unknown(data, element.start, end)
        else:
            at = element.start + element.size
        if at > end:
            is_sound = element.id == _CLUSTER
            return end, "it ends in the middle of a cluster" if is_sound else ""
    if at < min(last, end) and (segment.size or data.find(_CLUSTER_BYTES, at, end) >= 0):
        return end, _DAMAGED_MATROSKA
    return (end, "clusters are missing") if segment.size and last > end else (at, "")


def _end_of_unknown(data: FileBytes, at: int, end: int) -> int:
    """The end of a cluster of unknown size: the first element that is not part of a cluster."""
    while (element := _element(data, at, end)) is not None:
        if element.id not in _IN_CLUSTER | {_VOID, _CHECKSUM} or element.size is None:
            return at
        at = element.start + element.size
    return at if at <= end else end + 1


def _element(data: FileBytes, at: int, end: int) -> Element | None:
    """The element that begins at ``at``; None if there is none (RFC 8794, sections 4 and 5)."""
    if at >= end or not data[at]:
        return None
    width = 9 - data[at].bit_length()
    if width > 4 or at + width >= end or not data[at + width]:
        return None
    identifier = int.from_bytes(data[at : at + width], "big")
    at += width
    width = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + width], "big") & (1 << 7 * width) - 1
    is_unknown = size == (1 << 7 * width) - 1
    return Element(identifier, at + width, None if is_unknown else size)


_FLV_TAGS = {8, 9, 18}  # audio, video, data (Adobe, "Video File Format Specification" 10.1, E.4)
_FLV_TAG = re.compile(b"[%b]" % bytes(sorted(_FLV_TAGS)))
_TS_SYNC = 0x47
_TS_MARK = bytes([_TS_SYNC])
_TS_MARKS = re.compile(_TS_MARK)
# Length of a packet in bytes and offset of its sync byte (ISO/IEC 13818-1, 2.4.3.2): broadcast;
# with a time stamp before (Blu-ray, AVCHD); with a checksum after (DVB-ASI).
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))
_TS_SURE, _TS_LEAST = 16, 3  # consecutive packets that identify the format; in a short file, all
_INCOMPLETE = "its last packet is incomplete"
_SEARCHED_PACKETS = 1 << 20  # bytes after damage that are searched for another tag
_DAMAGED_PACKET = "packets are damaged"


def flv_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of an FLV file, up to its last tag; None if the file is not FLV."""
    if data[start : start + 3] != b"FLV" or start + 13 > end:
        return None
    at = start + int.from_bytes(data[start + 5 : start + 9], "big") + 4
    while (size := _flv_tag(data, at, end)) and at + size - 4 <= end:
        at = min(at + size, end)
    if size or (at < end < at + 11 and data[at] in _FLV_TAGS):
        return Extent(end, flaw=_INCOMPLETE)
    offsets = data.find_all(_FLV_TAG, at, min(at + _SEARCHED_PACKETS, end), 1)
    is_damaged = any(_begins_flv_again(data, offset, end) for offset in offsets)
    return Extent(end, flaw=_DAMAGED_PACKET, breaks_off=False) if is_damaged else Extent(at)


def _flv_tag(data: FileBytes, at: int, end: int) -> int:
    """Bytes of the tag that begins at ``at``, including the size after it; 0 if there is none."""
    if at + 11 > end or data[at] not in _FLV_TAGS or any(data[at + 8 : at + 11]):
        return 0
    return 15 + int.from_bytes(data[at + 1 : at + 4], "big")


def _begins_flv_again(data: FileBytes, at: int, end: int) -> bool:
    size = _flv_tag(data, at, end)
    return bool(size) and data[at + size - 4 : at + size] == (size - 4).to_bytes(4, "big")


class TransportPackets(NamedTuple):
    """The packet layout of a transport stream.

    Attributes:
        start: where the first complete packet begins.
        size: of each packet, in bytes.
        sync: offset of the sync byte in a packet.
    """

    start: int
    size: int
    sync: int


def transport_packets(data: bytes | FileBytes, start: int, end: int) -> TransportPackets | None:
    """The packet layout of an MPEG transport stream; None if the file is not one.

    A recording may begin in the middle of a packet.

    Args:
        data: a file, or its beginning.
        start: where it begins, after tags.
        end: where it ends.
    """
    for size, sync in _TS_PACKETS:
        for at in range(start, min(start + size, end)):
            packets = TransportPackets(at, size, sync)
            if data[at + sync : at + sync + 1] == _TS_MARK and _follow(data, packets, at, end):
                return packets
    return None


def _follow(data: bytes | FileBytes, packets: TransportPackets, at: int, end: int) -> bool:
    """Whether there are consecutive packets from ``at`` on."""
    offsets = range(at + packets.sync, end, packets.size)[:_TS_SURE]
    return len(offsets) >= _TS_LEAST and all(data[offset] == _TS_SYNC for offset in offsets)


def ts_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of a transport stream, up to its last packet; None if the file is not one."""
    packets = transport_packets(data, start, end)
    if packets is None:
        return None
    at, size, sync = packets
    while at + size <= end and data[at + sync] == _TS_SYNC:
        at += size
    if at < end < at + size and data[at + sync : min(at + sync + 1, end)] in (b"", _TS_MARK):
        return Extent(at, flaw=_INCOMPLETE)
    marks = data.find_all(_TS_MARKS, at, end, len(_TS_MARK))
    is_damaged = any(_follow(data, packets, mark - sync, end) for mark in marks)
    return Extent(end, flaw=_DAMAGED_PACKET, breaks_off=False) if is_damaged else Extent(at)


# A block's header: magic, size after these 8 bytes, version, upper bytes of the next two numbers,
# samples in the whole file, first sample and samples of the block (WavPack 4 & 5 Binary File /
# Block Format, "Block Header").
_WAVPACK = "<4sIHBBIII"
_WAVPACK_SIZE = struct.calcsize(_WAVPACK)
_UNKNOWN = 0xFFFFFFFF
_INCOMPLETE_BLOCK = "its last block is incomplete"
_TTA_HEADER = 22  # bytes
_TTA = "<4sHHHII"  # magic, format, channels, bits, rate, samples (TTA1 format)


def wavpack_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of a WavPack file, with its samples; None if the file is not WavPack."""
    if data[start : start + 4] != b"wvpk":
        return None
    at, total, reached, flaw = start, None, 0, ""
    while data[at : at + 4] == b"wvpk" and at + _WAVPACK_SIZE <= end:
        _, size, _, high, high_total, samples, first, block = data.unpack(_WAVPACK, at)
        if total and reached >= total and first + (high << 32) == 0 and block:
            break  # another file begins
        if at == start and samples != _UNKNOWN:
            total = samples + (high_total << 32) - high_total
        if at + 8 + size > end:
            flaw = _INCOMPLETE_BLOCK
            break
        reached = max(reached, first + (high << 32) + block)
        at += 8 + size
    counted = total or reached or None
    if not flaw and data.find(b"wvpk", at + 1, end) > at and reached < (total or 0):
        return Extent(end, counted, "a block is damaged", breaks_off=False)
    return Extent(at, counted, flaw)


def tta_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of a TTA file, with its samples; None if the file is not TTA.

    A frame lasts 256/245 s. A table of frame sizes follows the header of 22 bytes; header and table
    each end in a checksum of four bytes (TTA1 format, "Seek table").
    """
    if data[start : start + 4] != b"TTA1" or start + _TTA_HEADER > end:
        return None
    _, _, _, _, rate, samples = data.unpack(_TTA, start)
    frames = -(-samples // (256 * rate // 245)) if rate >= 245 else 0
    table = data[start + _TTA_HEADER : start + _TTA_HEADER + 4 * frames]
    if not samples or len(table) < 4 * frames:
        return Extent(end, samples or None)
    sizes = struct.unpack(f"<{frames}I", table)
    last = start + _TTA_HEADER + 4 * frames + 4 + sum(sizes)
    return Extent(min(last, end), samples, _INCOMPLETE_BLOCK if last > end else "")


def ape_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The extent of a Monkey's Audio file; None if the file is not one.

    Samples are known from version 3.98 on. The descriptor stores its length; the header after it
    holds blocks (samples) per frame, blocks of the last frame, and the number of frames (Monkey's
    Audio SDK, ``APE_HEADER``).
    """
    if data[start : start + 4] not in (b"MAC ", b"MACF") or start + 80 > end:
        return None
    version, _, descriptor = data.unpack("<HHI", start + 4)
    if version < 3980 or start + descriptor + 16 > end:
        return Extent(end)
    per_frame, last, frames = data.unpack("<III", start + descriptor + 4)
    return Extent(end, (frames - 1) * per_frame + last if frames else None)


_FAMILIES: tuple[Callable[[FileBytes, int, int], Extent | None], ...] = (
    mp4_extent,
    matroska_extent,
    asf_extent,
    avi_extent,
    wavpack_extent,
    tta_extent,
    ape_extent,
    flv_extent,
    ts_extent,
)


def container_part(path: Path, data: FileBytes, start: int, end: int) -> FilePart:
    """The part of a file that ffmpeg decodes, in a known container or any other format.

    Args:
        path: the file.
        data: its bytes.
        start: where it begins, after tags.
        end: where it ends, before tags.
    """
    extent = next((found for find in _FAMILIES if (found := find(data, start, end))), None)
    is_whole = start == 0 and (extent.end if extent else end) == len(data)
    pieces = () if is_whole else ((start, extent.end if extent else end),)
    if extent is None:
        return FilePart(path, pieces)
    flaw = extent.flaw
    if not flaw and begins_alike(data, start, end_of_tags(data, extent.end, end)):
        flaw = ANOTHER
    is_cut = bool(extent.flaw) and extent.breaks_off
    return FilePart(
        path, pieces, frames=extent.frames, is_walked=True, flaw=flaw, breaks_off=is_cut
    )
