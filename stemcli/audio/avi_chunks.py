"""Whether an AVI file ends before its sound does (Microsoft, "AVI RIFF File Reference")."""

from __future__ import annotations

from stemcli.audio.extent import Extent
from stemcli.audio.file_bytes import FileBytes

_PLACEHOLDER = 0x7F000000  # bytes: what wrote into a pipe does not know the size
_CHUNK = "<4sI"
_DAMAGED = "chunks are damaged"


def avi_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """Where the file ends: behind its last RIFF; None where it is not AVI."""
    at = start
    while data[at : at + 4] == b"RIFF" and data[at + 8 : at + 11] == b"AVI":
        (size,) = data.unpack("<I", at + 4)
        movie = _end_of_movie(data, at + 12, end)
        if movie is not None and movie > end:
            return Extent(end, flaw="it ends in the middle of its sound and pictures")
        if movie is not None and not _leads_on(data, movie, at + 8 + size):
            return Extent(end, flaw=_DAMAGED, breaks_off=False)
        at = max(at + 8 + size + size % 2, movie or 0)
        if at >= end or movie is None or not 0 < size < _PLACEHOLDER:
            return Extent(end)
    return Extent(at) if at > start else None


def _leads_on(data: FileBytes, at: int, end: int) -> bool:
    """Whether what stands behind the sound and pictures is another chunk, or the end of the file.

    Bytes that were inserted or lost before it lead elsewhere.
    """
    at += at % 2
    name, size = data[at : at + 4], data[at + 4 : at + 8]
    if at + 8 > end or len(size) < 4:
        return True
    is_name = all(32 <= letter < 127 for letter in name)
    return is_name and at + 8 + int.from_bytes(size, "little") <= end + 1


def _end_of_movie(data: FileBytes, at: int, end: int) -> int | None:
    """Where the list of sound and pictures ends; None where it has no size, or is not found."""
    while at + 8 <= end:
        name, size = data.unpack(_CHUNK, at)
        if size >= _PLACEHOLDER:
            return None
        if name == b"LIST" and data[at + 8 : at + 12] == b"movi":
            return int(at + 8 + size) if size else None
        at += 8 + size + size % 2
    return None
