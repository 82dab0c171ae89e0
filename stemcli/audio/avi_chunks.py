"""Whether an AVI file ends before its sound does (Microsoft, "AVI RIFF File Reference")."""

from __future__ import annotations

import struct

from stemcli.audio.extent import Extent
from stemcli.audio.foreign_tags import Bytes

_PLACEHOLDER = 0x7F000000  # bytes: what wrote into a pipe does not know the size
_CHUNK = struct.Struct("<4sI")


def avi_extent(data: Bytes, start: int, end: int) -> Extent | None:
    """Where the file ends: behind its last RIFF; None where it is not AVI."""
    at, flaw = start, ""
    while data[at : at + 4] == b"RIFF" and data[at + 8 : at + 11] == b"AVI":
        (size,) = struct.unpack_from("<I", data, at + 4)
        flaw = _flaw(data, at + 12, end)
        at += 8 + size + size % 2
        if flaw or at >= end or not 0 < size < _PLACEHOLDER:
            return Extent(end, flaw=flaw)
    return Extent(at, flaw=flaw) if at > start else None


def _flaw(data: Bytes, at: int, end: int) -> str:
    """What is missing of the list that holds sound and pictures."""
    while at + _CHUNK.size <= end:
        name, size = _CHUNK.unpack_from(data, at)
        if size >= _PLACEHOLDER:
            return ""
        if name == b"LIST" and data[at + 8 : at + 12] == b"movi" and at + 8 + size > end:
            return "it ends in the middle of its sound and pictures"
        at += _CHUNK.size + size + size % 2
    return ""
