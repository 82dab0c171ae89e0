"""The chunks and headers of WAV, RF64, BW64, Wave64, AIFF, AIFC, CAF and AU.

Sizes are trusted only if they lead to another chunk or to the end of the file: many programs omit
padding bytes, and sizes are 0 or a placeholder if a program wrote to a pipe.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stemcli.audio.containers.part import FileBytes, Raw
from stemcli.audio.info import BITS, require_sense

PLACEHOLDER = 0x7F000000
"""Bytes; programs that write to a pipe use this size or more if they do not know the size."""

MOST_CHUNKS = 20_000
"""Chunks per file that are read; recorders write a few dozen."""

_W64_DATA = b"data" + bytes.fromhex("F3ACD3118CD100C04F8EDB8A")
_W64_RIFF = b"riff" + bytes.fromhex("2E91CF11A5D628DB04C10000")


class ManyChunksError(Exception):
    """A file has more than :data:`MOST_CHUNKS`, so samples after them would not be found."""


class Form(NamedTuple):
    """The chunk structure of a family of formats.

    Attributes:
        header: of a chunk, for :mod:`struct`: name and size.
        first: offset of the first chunk.
        align: chunks begin at multiples of this, from the beginning of the file.
        counts_header: whether the size of a chunk includes its header.
        data: name of the chunk with the samples.
        skipped: bytes between the header of that chunk and the samples.
    """

    header: str
    first: int
    align: int
    counts_header: bool
    data: bytes
    skipped: int


RIFF = Form("<4sI", 12, 2, False, b"data", 0)
RIFX = Form(">4sI", 12, 2, False, b"data", 0)
W64 = Form("<16sQ", 40, 8, True, _W64_DATA, 0)
AIFF = Form(">4sI", 12, 2, False, b"SSND", 8)
CAF = Form(">4sq", 8, 1, False, b"data", 4)


class Chunk(NamedTuple):
    """One chunk: its name, the offset of its body, and the size in its header."""

    name: bytes
    start: int
    size: int


def form_of(data: FileBytes, at: int) -> Form | None:
    """The family of the file that begins at ``at``; None if it is not one of these."""
    head = data[at : at + 16]
    if head[8:12] == b"WAVE":
        return {b"RIFF": RIFF, b"RF64": RIFF, b"BW64": RIFF, b"RIFX": RIFX}.get(head[:4])
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if head == _W64_RIFF:
        return W64
    return CAF if head[:4] == b"caff" else None


def chunks(
    data: FileBytes, form: Form, base: int, end: int, first: int | None = None
) -> Iterator[Chunk]:
    """Iterate over the chunks, until bytes that are not a chunk.

    Args:
        data: the file.
        form: its family.
        base: where the file begins, after tags.
        end: where it ends.
        first: where the first chunk begins, if not after the header of the file.

    Raises:
        ManyChunksError: there are more than :data:`MOST_CHUNKS`.
    """
    at = base + form.first if first is None else first
    count = 0
    while chunk := chunk_at(data, form, at, end):
        count += 1
        if count > MOST_CHUNKS:
            raise ManyChunksError
        yield chunk
        at = behind_chunk(data, form, base, chunk, end)


def chunks_and_lists(
    data: FileBytes, form: Form, base: int, end: int, first: int | None = None
) -> Iterator[Chunk]:
    """Like :func:`chunks`, with the chunks inside a wave list after it.

    Raises:
        ManyChunksError: there are too many in a row.
    """
    for chunk in chunks(data, form, base, end, first):
        yield chunk
        if is_wave_list(data, chunk):
            last = min(end, chunk.start + chunk.size)
            yield from chunks(data, form, base, last, first=chunk.start + 4)


def is_wave_list(data: FileBytes, chunk: Chunk) -> bool:
    """Whether a chunk is a LIST of type "wavl", which holds the samples of some WAV files.

    Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", WAVE,
    "Wave Data".

    Args:
        data: the file.
        chunk: of it.
    """
    return chunk.name == b"LIST" and data[chunk.start : chunk.start + 4] == b"wavl"


def chunk_at(data: FileBytes, form: Form, at: int, end: int) -> Chunk | None:
    """The chunk whose header begins at ``at``; None if there is none."""
    width = struct.calcsize(form.header)
    if at + width > end:
        return None
    name, size = struct.unpack(form.header, data[at : at + width])
    if not all(32 <= character < 127 for character in name[:4]):
        return None
    return Chunk(name, at + width, size - width if form.counts_header else size)


def behind_chunk(data: FileBytes, form: Form, base: int, chunk: Chunk, end: int) -> int:
    """The start of the next chunk, after padding, which consists of zeros and may be missing."""
    behind = chunk.start + max(0, chunk.size)
    padded = behind + -(behind - base) % form.align
    is_missing = behind < end and data[behind] and leads_on(data, form, base, behind, end)
    return behind if is_missing else padded


def leads_on(data: FileBytes, form: Form, base: int, at: int, end: int) -> bool:
    """Whether a chunk begins at ``at`` that fits into the file, or the file ends there.

    A byte of padding may be missing at the end, and any bytes may follow the last chunk.
    """
    if at >= end:
        return at - end < form.align
    chunk = chunk_at(data, form, at, end)
    return chunk is not None and chunk.size >= 0 and chunk.start + chunk.size <= end


PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
"""Tags of the "fmt " chunk (RFC 2361; Microsoft, mmreg.h)."""

_WIDTHS = {1: "PCM_S8", 2: "PCM_16", 3: "PCM_24", 4: "PCM_32"}
_FLOATS = {4: "FLOAT", 8: "DOUBLE"}
_RF64_SIZE_IS_ELSEWHERE = 0xFFFFFFFF
_AU = {1: "ULAW", 2: "PCM_S8", 3: "PCM_16", 4: "PCM_24", 5: "PCM_32", 6: "FLOAT", 7: "DOUBLE"}
_AU_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8}
_AIFC_BIG, _AIFC_SMALL = (b"NONE", b"twos", b"in24", b"in32"), b"sowt"
_AIFC_PCM = (*_AIFC_BIG, _AIFC_SMALL)


class PcmFormat(NamedTuple):
    """The sample format of a file.

    Attributes:
        raw: layout for libsndfile; None if the samples are compressed.
        block: bytes of one frame, or of one block of a codec.
        block_frames: samples per channel in a block; 0 if the header does not say.
        size: bytes of samples by a count other than the size of the chunk; None without one.
        tag: codec in WAV and W64; in CAF the number of frames by the packet table.
    """

    raw: Raw | None
    block: int
    block_frames: int = 1
    size: int | None = None
    tag: int = 0


def pcm_format(path: Path, data: FileBytes, form: Form, found: Sequence[Chunk]) -> PcmFormat | None:
    """Parse the sample format from the chunks of a file; None if they are incomplete.

    Raises:
        DecodeError: the numbers in the header are implausible.
    """
    bodies = {
        chunk.name[:4]: data[chunk.start : chunk.start + min(chunk.size, 64)]
        for chunk in reversed(found)
        if chunk.size >= 0
    }
    try:
        if form is AIFF:
            return _aiff(path, bodies[b"COMM"])
        if form is CAF:
            return _caf(path, bodies[b"desc"], bodies.get(b"pakt", b""))
        return _riff(path, form, bodies, found)
    except (KeyError, ValueError, struct.error, ArithmeticError):
        return None


def au_format(path: Path, head: bytes) -> tuple[PcmFormat, int, int] | None:
    """Parse the header of an AU file: sample format, offset of the samples, and their bytes.

    Raises:
        DecodeError: the numbers in the header are implausible.
    """
    if len(head) < 24:
        return None
    offset, size, encoding, rate, channels = struct.unpack_from(">5I", head, 4)
    require_sense(path, rate, channels)
    if encoding not in _AU:
        return None
    raw = Raw(_AU[encoding], "BIG", rate, channels)
    return PcmFormat(raw, channels * _AU_WIDTHS[encoding]), offset, size


def _riff(path: Path, form: Form, bodies: dict[bytes, bytes], found: Sequence[Chunk]) -> PcmFormat:
    order, body = form.header[0], bodies[b"fmt "]
    tag, channels, rate, _, block, bits = struct.unpack_from(f"{order}HHIIHH", body)
    require_sense(path, rate, channels, bits if tag == PCM else BITS[0])
    block_frames = 0
    if tag == EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack_from(f"{order}H", body, 24)
    elif len(body) >= 20:
        (block_frames,) = struct.unpack_from(f"{order}H", body, 18)
    width = block // channels
    subtype = _riff_subtype(tag, width, bits)
    if subtype is None:
        return PcmFormat(None, block, block_frames, None, tag)
    raw = Raw(subtype, "BIG" if order == ">" else "LITTLE", rate, channels)
    return PcmFormat(raw, width * channels, 1, _size_in_ds64(form, bodies, found), tag)


def _riff_subtype(tag: int, width: int, bits: int) -> str | None:
    if tag == PCM and bits <= 8 * width:
        return "PCM_U8" if width == 1 else _WIDTHS.get(width)
    if tag == FLOAT:
        return _FLOATS.get(width)
    return {A_LAW: "ALAW", MU_LAW: "ULAW"}.get(tag) if width == 1 else None


def _size_in_ds64(form: Form, bodies: dict[bytes, bytes], found: Sequence[Chunk]) -> int | None:
    """The size of the data in RF64 and BW64 (EBU Tech 3306, section 4); None if it is 0."""
    size = next((chunk.size for chunk in found if chunk.name == form.data), 0)
    if form is W64 or size != _RF64_SIZE_IS_ELSEWHERE or b"ds64" not in bodies:
        return None
    (true_size,) = struct.unpack_from("<Q", bodies[b"ds64"], 8)
    return int(true_size) or None


def _aiff(path: Path, body: bytes) -> PcmFormat:
    """Parse the common chunk (AIFF 1.3, Apple 1989, p. 5; AIFF-C draft, 1991, p. 6)."""
    channels, frames, bits = struct.unpack_from(">HIH", body)
    kind, width = body[18:22] or b"NONE", -(-bits // 8)
    rate = _extended(body[8:18])
    require_sense(path, rate, channels, bits if kind in _AIFC_PCM else BITS[0])
    subtype, endian = _WIDTHS.get(width), "BIG"
    if kind in (b"fl32", b"FL32", b"fl64", b"FL64"):
        width = int(kind[2:]) // 8
        subtype = _FLOATS[width]
    elif kind in (b"ulaw", b"ULAW", b"alaw", b"ALAW"):
        subtype, width = kind.decode().upper(), 1
    elif kind == _AIFC_SMALL:
        endian = "LITTLE"
    elif kind not in _AIFC_BIG:
        subtype = None
    block = channels * width
    size = frames * block if 0 < frames * block < PLACEHOLDER else None
    if subtype is None:
        return PcmFormat(None, block, 0)
    return PcmFormat(Raw(subtype, endian, rate, channels), block, 1, size)


def _caf(path: Path, body: bytes, packets: bytes) -> PcmFormat:
    """Parse the description and the packet table (Apple Core Audio Format 1.0, pp. 17, 32)."""
    rate, kind, flags, block, per_packet, channels, bits = struct.unpack_from(">d4s5I", body)
    require_sense(path, rate, channels, bits if kind == b"lpcm" else BITS[0])
    if kind != b"lpcm":
        frames = _frames_of_packets(packets, per_packet) if packets else 0
        return PcmFormat(None, block or 1, per_packet if block else 0, None, frames)
    width = block // channels
    subtype = (_FLOATS if flags & 1 else _WIDTHS).get(width)
    raw = Raw(subtype, "LITTLE" if flags & 2 else "BIG", round(rate), channels) if subtype else None
    return PcmFormat(raw, block)


def _frames_of_packets(table: bytes, per_packet: int) -> int:
    """Frames by the packet table; 0 if the table only counts full packets.

    ffmpeg writes such a table even if the last packet is shorter.
    """
    packets, frames, _, _ = struct.unpack_from(">qqii", table)
    return 0 if frames == packets * per_packet else int(frames)


def _extended(digits: bytes) -> int:
    """Decode a sample rate in AIFF, an 80-bit IEEE 754 number."""
    exponent = (int.from_bytes(digits[:2], "big") & 0x7FFF) - 16383 - 63
    mantissa = int.from_bytes(digits[2:], "big")
    return round(mantissa * 2.0**exponent)
