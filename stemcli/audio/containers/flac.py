"""Finds the streams of a FLAC file, and their numbers of samples.

libsndfile reads as many samples as STREAMINFO counts, and fails if there are fewer. If the count is
missing or wrong, the number is taken from the last frame, because every frame stores its own number
(RFC 9639, sections 8.2 and 9.1), and libsndfile gets a header with the right count.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import soundfile

from stemcli.audio.containers.part import FileBytes, FilePart
from stemcli.audio.containers.surrounding_tags import start_of_tags
from stemcli.audio.info import cut_off, no_sound, require_sense

_BEGINNING = re.compile(rb"fLaC[\x00\x80]\0\0\x22")  # STREAMINFO, with others or alone
_STREAMINFO = slice(8, 42)  # after the magic and the header of the first block of metadata
_ALONE = b"fLaC\x80\0\0\x22"  # the beginning of a file whose only metadata is STREAMINFO
_WINDOW = 1 << 18  # bytes: two frames of 4096 samples in 8 channels of 32 bits
_JUNK = 1 << 16  # most bytes to skip before the file or its first frame
_FRAME = re.compile(rb"(?=(\xff[\xf8\xf9].{8,14}))", re.DOTALL)
"""The longest header has 16 bytes; the shortest frame, one channel of silence, has 10."""
_LONGEST_HEADER = 64  # most bytes of a frame without its samples
_SIZES = {1: 192, **{code: 144 << code for code in (2, 3, 4, 5)}}
_SIZES |= {code: 1 << code for code in range(8, 16)}  # samples (RFC 9639, section 9.1.1)
_INCOMPLETE = "its last frame is incomplete"


class _Frame(NamedTuple):
    """A frame: its offset, its first sample and the one after its last."""

    start: int
    first: int
    last: int


class _Stream(NamedTuple):
    """A FLAC stream.

    Attributes:
        info: its STREAMINFO, 34 bytes.
        counted: samples per channel by STREAMINFO; 0 if unknown.
        body: where the first frame begins.
        end: where the last frame ends at the latest.
    """

    info: bytes
    counted: int
    body: int
    end: int

    @property
    def largest(self) -> int:
        """Bytes of the largest frame, whose samples are not compressed."""
        channels = (self.info[12] >> 1 & 7) + 1
        bits = (self.info[12] & 1) << 4 | self.info[13] >> 4
        (block,) = struct.unpack_from(">H", self.info, 2)
        return int(block) * channels * (bits + 2) // 8 + _LONGEST_HEADER

    def head(self, samples: int) -> bytes:
        """A header that counts ``samples``, without the checksum of the samples."""
        rest = int.from_bytes(self.info[13:18], "big") & ~((1 << 36) - 1)
        return _ALONE + self.info[:13] + (rest | samples).to_bytes(5, "big") + bytes(16)


def flac_parts(path: Path, data: FileBytes, start: int, end: int) -> list[FilePart]:
    """The FLAC streams of a file, one or several in a row.

    Raises:
        DecodeError: the file ends in its metadata, has no frames, or has an impossible sample rate.
    """
    behind, is_complete = _metadata(data, start)
    if is_complete and behind == start_of_tags(data, start, end):
        raise no_sound(path)
    if behind >= end:
        raise cut_off(path, "it ends before its first frame")
    offsets = [*_beginnings(data, start, end), end]
    is_whole = len(offsets) == 2 and start == 0
    return [_part(path, data, *piece, is_whole=is_whole) for piece in pairwise(offsets)]


def flac_behind_junk(path: Path, data: FileBytes, start: int, end: int) -> list[FilePart]:
    """The streams of a ``.flac`` file that begins with other bytes; empty if there are none."""
    if path.suffix.lower() != ".flac":
        return []
    beginning = _next_beginning(data, start, min(end, start + _JUNK))
    return flac_parts(path, data, beginning, end) if beginning >= 0 else []


def _beginnings(data: FileBytes, start: int, end: int) -> Iterator[int]:
    yield start
    while (start := _next_beginning(data, _end_of_metadata(data, start), end)) >= 0:
        yield start


def _next_beginning(data: FileBytes, start: int, end: int) -> int:
    return next(data.find_all(_BEGINNING, start, end, len(b"fLaC") + 4), -1)


def _end_of_metadata(data: FileBytes, start: int) -> int:
    return _metadata(data, start)[0]


def _metadata(data: FileBytes, start: int) -> tuple[int, bool]:
    """The end of the metadata blocks, and whether the last block is marked as such.

    Each begins with one byte of type and three of size (RFC 9639, section 8.1).
    """
    at, is_last = start + 4, False
    while not is_last and (header := data[at : at + 4]):
        is_last, at = bool(header[0] & 0x80), at + 4 + int.from_bytes(header[1:], "big")
    return at, is_last


def _part(path: Path, data: FileBytes, start: int, end: int, *, is_whole: bool) -> FilePart:
    info = data[start + _STREAMINFO.start : start + _STREAMINFO.stop]
    if len(info) < 34:
        return FilePart(path)
    require_sense(path, int.from_bytes(info[10:13], "big") >> 4, channels=1)
    counted = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
    behind = _end_of_metadata(data, start)
    body = _first_frame(data, behind, end, info)
    stream = _Stream(info, counted, body, start_of_tags(data, start, end))
    part = _counted_part(path, data, stream)
    if part:
        return part
    if body > behind:
        return FilePart(path, ((body, end),), stream.head(counted), frames=counted or None)
    if not counted:
        return FilePart(path, muxer="flac")
    return FilePart(path, () if is_whole else ((start, end),), frames=counted)


def _counted_part(path: Path, data: FileBytes, stream: _Stream) -> FilePart | None:
    """The stream up to its last complete frame, if its number of samples differs from the count.

    None if it does not, if no frame is found, or if other data follows the last frame.
    """
    last = _last_frame(data, stream)
    if last is None:
        return None
    is_whole, is_at_end = _is_whole(data, stream, last), stream.end - last.start <= stream.largest
    samples = last.last if is_whole or not is_at_end else last.first
    if not samples or samples == stream.counted or (samples < stream.counted and not is_at_end):
        return None
    head, counted = stream.head(samples), max(stream.counted, last.last)
    flaw = _INCOMPLETE if samples < last.last else ""
    is_cut = samples < counted
    pieces = ((stream.body, stream.end),)
    return FilePart(path, pieces, head, frames=counted, flaw=flaw, breaks_off=is_cut)


def _is_whole(data: FileBytes, stream: _Stream, frame: _Frame) -> bool:
    """Whether a frame is complete, tested by decoding, because a frame does not store its length.

    Samples of a size that libsndfile does not support, such as 20 bits, are left to ffmpeg.
    """
    body = data[frame.start : min(frame.start + stream.largest, stream.end)]
    file = io.BytesIO(stream.head(frame.last - frame.first) + body)
    try:
        decoder = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        return True
    with decoder, suppress(soundfile.LibsndfileError):
        return len(decoder.read()) == frame.last - frame.first
    return False


def _first_frame(data: FileBytes, at: int, end: int, info: bytes) -> int:
    """The start of the first frame: ``at``, or later if junk bytes come first.

    After junk bytes, a second frame must follow, to exclude a match by chance.
    """
    searched = data[at : min(at + _JUNK + _WINDOW, end)]
    if not (found := _frames(searched, at, info)) or found[0].start == at:
        return at
    seconds = {frame.first for frame in found}
    return next((each.start for each in found if not each.first and each.last in seconds), at)


def _last_frame(data: FileBytes, stream: _Stream) -> _Frame | None:
    """The last frame; None if there is none.

    A frame counts only if the one before it is found as well: an 8-bit checksum alone accepts one
    in 256 places that look like a frame.
    """
    start, end = stream.body, stream.end
    while end > start:
        begin = max(start, end - _WINDOW)
        found = _frames(data[begin:end], begin, stream.info)
        ends = {frame.last for frame in found}
        known = [frame for frame in found if frame.first in ends or frame.start == stream.body]
        if known:
            return max(known, key=lambda frame: frame.last)
        end = begin + 16 if begin > start else start
    return None


def _frames(data: bytes, at: int, info: bytes) -> list[_Frame]:
    """All possible frame headers in bytes from position ``at`` of the file."""
    found = ((match.start(), *_frame(match[1], info)) for match in _FRAME.finditer(data))
    return [_Frame(at + offset, first, last) for offset, first, last in found if first >= 0]


def _frame(header: bytes, info: bytes) -> tuple[int, int]:
    """First sample of a frame and the one after its last; (-1, -1) if it is not a header."""
    width = _width(header[4])
    size_code, rate_code = header[2] >> 4, header[2] & 15
    extra = {6: 1, 7: 2}.get(size_code, 0)
    end = 4 + width + extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not width or end >= len(header) or _checksum(header[: end + 1]):
        return -1, -1
    size = _SIZES.get(size_code) or int.from_bytes(header[4 + width : 4 + width + extra], "big") + 1
    number = _coded_number(header[4 : 4 + width])
    (block,) = struct.unpack_from(">H", info, 2)  # samples: the maximum, and in fixed blocks all
    first = number if header[1] & 1 else number * block
    return first, first + size


def _width(first: int) -> int:
    """Length of a coded number by its first byte, 0 if invalid (RFC 9639, section 9.1.5)."""
    ones = 8 - (first ^ 0xFF).bit_length()
    return 1 if ones == 0 else ones if 2 <= ones <= 7 else 0


def _coded_number(code: bytes) -> int:
    """Decode a number of up to 36 bits in UTF-8 style."""
    value = code[0] & (0x7F if len(code) == 1 else (1 << 7 - len(code)) - 1)
    for byte in code[1:]:
        value = value << 6 | byte & 0x3F
    return value


def _checksum(data: bytes) -> int:
    """CRC-8 with the generator 0x07; 0 for data with its checksum (RFC 9639, section 9.1.8)."""
    register = 0
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1) ^ (0x107 if register & 0x80 else 0)
    return register
