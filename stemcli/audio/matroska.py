"""Whether a Matroska or WebM file ends before its sound does (RFC 8794 and RFC 9559).

Elements say how long they are; only a program that wrote into a pipe leaves sizes out. What lies
in a cluster may be sound; an index or tags that are cut off are no loss.
"""

from __future__ import annotations

from typing import NamedTuple

from stemcli.audio.extent import Extent
from stemcli.audio.file_bytes import FileBytes

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_CUES, _TAGS, _ATTACHMENTS = 0x1C53BB6B, 0x1254C367, 0x1941A469
_TOP = {_CLUSTER, _CUES, _TAGS, _ATTACHMENTS, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1043A770}
_CLUSTER_BYTES = _CLUSTER.to_bytes(4, "big")
_DAMAGED = "an element is damaged"
_VOID, _CHECKSUM = 0xEC, 0xBF
_IN_CLUSTER = {0xE7, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0x5854}


class Element(NamedTuple):
    """One element: its identifier, where its body begins, and its size; None where unknown."""

    id: int
    start: int
    size: int | None


def matroska_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """Where the file ends; None where it is not Matroska."""
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
    return Extent(min(at, end), flaw=flaw, breaks_off=flaw != _DAMAGED)


def _segment(data: FileBytes, segment: Element, end: int) -> tuple[int, str]:
    """Where a segment ends, and what is missing in it."""
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
        return end, _DAMAGED
    return (end, "clusters are missing") if segment.size and last > end else (at, "")


def _end_of_unknown(data: FileBytes, at: int, end: int) -> int:
    """Where a cluster of unknown size ends: at the first element that does not belong into it."""
    while (element := _element(data, at, end)) is not None:
        if element.id not in _IN_CLUSTER | {_VOID, _CHECKSUM} or element.size is None:
            return at
        at = element.start + element.size
    return at if at <= end else end + 1


def _element(data: FileBytes, at: int, end: int) -> Element | None:
    """The element that begins here; None where none does (RFC 8794, sections 4 and 5)."""
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
