"""Finds the tags that programs put before, after or between audio files of any format.

Their bytes may look like audio frames, so they are skipped by their own lengths: ID3v2
(id3.org, ID3v2.4.0-structure, section 3), ID3v1 and its extension "TAG+", APEv1 and APEv2 ("APE
Tags Header" of the specification), Lyrics3 and Lyrics3v2 (id3.org).
"""

from __future__ import annotations

import re

from stemcli.audio.containers.part import FileBytes

MAGIC = 12
"""Bytes at the beginning of a file by which its format is known."""

_ID3V1, _ID3V1_EXTENSION = 128, 227  # bytes
_LONGEST_LYRICS = 1 << 20  # bytes; Lyrics3v2 counts in six digits
_END_OF_LYRICS = re.compile(rb"\d{6}LYRICS200|LYRICSEND")
_HAS_FOOTER = 0x10  # flag of ID3v2.4
_APE_HAS_HEADER, _APE_IS_HEADER = 1 << 31, 1 << 29  # flags of APEv2


def end_of_tags(data: FileBytes, at: int, end: int) -> int:
    """The end of the tags that begin at ``at``, with the zeros between and after them."""
    while at < end:
        size = _tag_size(data, at, end)
        if not size:
            behind = end_of_zeros(data, at, end)
            if behind == at or not (behind == end or _tag_size(data, behind, end)):
                break
            size = behind - at
        at += size
    return min(at, end)


def start_of_tags(data: FileBytes, start: int, end: int) -> int:
    """The start of the tags that end at ``end``; ``end`` itself if there are none."""
    while end > start:
        size = _size_from_behind(data, start, end)
        if not size:
            break
        end = max(start, end - size)
    return end


def begins_alike(data: FileBytes, start: int, at: int) -> bool:
    """Whether another file of the same format begins at ``at``: same magic, any size."""
    return is_alike(data[start : start + MAGIC], data[at : at + MAGIC])


def is_alike(first: bytes, other: bytes) -> bool:
    """Whether two files are of the same format by their first :data:`MAGIC` bytes."""
    if first[:4] in (b".snd", b"wvpk", b"TTA1"):
        return first[:4] == other[:4]
    if first[:3] == b"\0\0\0":  # a box of an MP4 begins with its size
        return first[4:8] == other[4:8]
    return first[:4] == other[:4] and first[8:] == other[8:]


def _tag_size(data: FileBytes, at: int, end: int) -> int:
    """Size in bytes of the tag that begins at ``at``; 0 if none does."""
    head = data[at : min(at + 32, end)]
    if head[:3] == b"ID3" and len(head) >= 10 and not any(byte & 0x80 for byte in head[6:10]):
        return 10 + _syncsafe(head[6:10]) + (10 if head[5] & _HAS_FOOTER else 0)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        is_header = int.from_bytes(head[20:24], "little") & _APE_IS_HEADER
        return 32 + (int.from_bytes(head[12:16], "little") if is_header else 0)
    if head[:11] == b"LYRICSBEGIN":
        found = _END_OF_LYRICS.search(data[at : min(at + _LONGEST_LYRICS, end)])
        return found.end() if found else 0
    if head[:4] == b"TAG+":
        return _ID3V1_EXTENSION
    return _ID3V1 if head[:3] == b"TAG" else 0


def _size_from_behind(data: FileBytes, start: int, end: int) -> int:
    """Size in bytes of the tag that ends at ``end``; 0 if none does."""
    if data[max(start, end - 128) : end][:3] == b"TAG" and end - start >= _ID3V1:
        extended = data[max(start, end - 355) : end][:4] == b"TAG+" and end - start >= 355
        return _ID3V1 + (_ID3V1_EXTENSION if extended else 0)
    foot = data[max(start, end - 32) : end]
    if foot[:8] == b"APETAGEX" and len(foot) == 32:
        has_header = int.from_bytes(foot[20:24], "little") & _APE_HAS_HEADER
        return int.from_bytes(foot[12:16], "little") + (32 if has_header else 0)
    if foot[-9:] == b"LYRICS200" and foot[-15:-9].isdigit():
        return int(foot[-15:-9]) + 15
    if foot[-10:-7] == b"3DI" and not any(byte & 0x80 for byte in foot[-4:]):
        return _syncsafe(foot[-4:]) + 20
    return 0


def end_of_zeros(data: FileBytes, at: int, end: int) -> int:
    """The position of the first byte that is not zero; ``end`` if all are."""
    while at < end:
        piece = data[at : min(at + 4096, end)]
        left = len(piece.lstrip(b"\0"))
        at += len(piece) - left
        if left:
            break
    return at


def _syncsafe(digits: bytes) -> int:
    """Decode a size in an ID3v2 header: four 7-bit digits (ID3v2.4.0-structure, section 6.2)."""
    value = 0
    for digit in digits:
        value = value << 7 | digit & 0x7F
    return value
