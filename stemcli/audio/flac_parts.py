"""Where the sounds of a FLAC file lie, and how many samples they have.

libsndfile reads as many samples as STREAMINFO counts and no more. Where the count is missing or too
small, the last frame tells how many there are, since every frame carries its own number (RFC 9639,
sections 8.2 and 9.1), and libsndfile is given a header that counts them all.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from stemcli.audio.foreign_tags import Bytes, start_of_tags
from stemcli.audio.part import Part

_BEGINNING = re.compile(rb"fLaC[\x00\x80]\0\0\x22")  # STREAMINFO, with others or alone
_STREAMINFO = slice(8, 42)  # behind the magic and the header of the first block of metadata
_WINDOW = 1 << 18  # bytes: two frames of 4096 samples in 8 channels of 32 bits
_FRAME = re.compile(rb"(?=(\xff[\xf8\xf9].{14}))", re.DOTALL)
_SIZES = {1: 192, **{code: 144 << code for code in (2, 3, 4, 5)}}
_SIZES |= {code: 1 << code for code in range(8, 16)}  # samples (RFC 9639, section 9.1.1)


def flac_parts(path: Path, data: Bytes, start: int, end: int) -> list[Part]:
    """The FLAC streams of a file, which may follow each other."""
    places = [*_beginnings(data, start, end), end]
    return [_part(path, data, *piece, is_alone=len(places) == 2) for piece in pairwise(places)]


def _beginnings(data: Bytes, start: int, end: int) -> Iterator[int]:
    yield start
    while (start := _next_beginning(data, _end_of_metadata(data, start), end)) >= 0:
        yield start


def _next_beginning(data: Bytes, start: int, end: int) -> int:
    return next(data.places(_BEGINNING, start, end, len(b"fLaC") + 4), -1)


def _end_of_metadata(data: Bytes, start: int) -> int:
    """Behind the blocks of metadata: one byte of type, three of size (RFC 9639, section 8.1)."""
    at, is_last = start + 4, False
    while not is_last and (header := data[at : at + 4]):
        is_last, at = bool(header[0] & 0x80), at + 4 + int.from_bytes(header[1:], "big")
    return at


def _part(path: Path, data: Bytes, start: int, end: int, *, is_alone: bool) -> Part:
    info = data[start + _STREAMINFO.start : start + _STREAMINFO.stop]
    if len(info) < 34:
        return Part(path)
    counted = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
    found = _last_sample(data, start, start_of_tags(data, start, end), info)
    if found is not None and found > counted:
        patched = (int.from_bytes(info[13:18], "big") & ~((1 << 36) - 1) | found).to_bytes(5, "big")
        head = data[start : start + 21] + patched + bytes(16)  # the MD5 is of fewer samples
        return Part(path, ((start + 42, end),), head, frames=found)
    if not counted:
        return Part(path, muxer="flac")
    return Part(path, () if is_alone else ((start, end),), frames=counted)


def _last_sample(data: Bytes, start: int, end: int, info: bytes) -> int | None:
    """Samples up to the end of the last frame, by its number; None where none is found.

    A frame counts only where the one before it is found as well: eight bits of checksum alone let
    one place in 256 pass that looks like a frame.
    """
    while end > start:
        begin = max(start, end - _WINDOW)
        frames = [_frame(match[1], info) for match in _FRAME.finditer(data[begin:end])]
        ends = {last for first, last in frames if first >= 0}
        known = [last for first, last in frames if first in ends]
        if known:
            return max(known)
        end = begin + 16 if begin > start else start
    return None


def _frame(header: bytes, info: bytes) -> tuple[int, int]:
    """The first sample of a frame and the one behind its last; (-1, -1) where it is no header."""
    width = _width(header[4])
    size_code, rate_code = header[2] >> 4, header[2] & 15
    extra = {6: 1, 7: 2}.get(size_code, 0)
    end = 4 + width + extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not width or _checksum(header[: end + 1]):
        return -1, -1
    size = _SIZES.get(size_code) or int.from_bytes(header[4 + width : 4 + width + extra], "big") + 1
    number = _coded_number(header[4 : 4 + width])
    (block,) = struct.unpack_from(">H", info, 2)  # samples: the maximum, and in fixed blocks all
    first = number if header[1] & 1 else number * block
    return first, first + size


def _width(first: int) -> int:
    """Bytes of a coded number by the first, 0 where it is none (RFC 9639, section 9.1.5)."""
    ones = 8 - (first ^ 0xFF).bit_length()
    return 1 if ones == 0 else ones if 2 <= ones <= 7 else 0


def _coded_number(code: bytes) -> int:
    """A number as UTF-8 codes one, of up to 36 bits."""
    value = code[0] & (0x7F if len(code) == 1 else (1 << 7 - len(code)) - 1)
    for byte in code[1:]:
        value = value << 6 | byte & 0x3F
    return value


def _checksum(data: bytes) -> int:
    """CRC-8 with the generator 0x07, of data with its checksum 0 (RFC 9639, section 9.1.8)."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1) ^ (0x107 if register & 0x80 else 0)
    return register
