"""What the headers of WAV, W64, AIFF, CAF and AU say about their samples."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stemcli.audio.chunks import AIFF, CAF, PLACEHOLDER, W64, Chunk, Form
from stemcli.audio.file_bytes import FileBytes
from stemcli.audio.part import Raw
from stemcli.audio.source import BITS, require_sense

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
    """How the samples of a file lie.

    Attributes:
        raw: for libsndfile; None where they are coded.
        block: bytes of one frame, or of one block of a codec.
        block_frames: samples per channel in a block; 0 where the header does not say.
        size: bytes of sound by another number than the size of the chunk; None without one.
        tag: which codec it is, in WAV and W64; in CAF how many frames a table of packets counts.
    """

    raw: Raw | None
    block: int
    block_frames: int = 1
    size: int | None = None
    tag: int = 0


def pcm_format(path: Path, data: FileBytes, form: Form, found: Sequence[Chunk]) -> PcmFormat | None:
    """What the chunks of a file say; None where they say too little.

    Raises:
        DecodeError: their numbers are those of no sound.
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
    """Of an AU file: how samples lie, where they begin and how many bytes the header counts.

    Raises:
        DecodeError: the numbers in its header are those of no sound.
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
    """The size of the data in RF64 and BW64 (EBU Tech 3306, section 4); None where it is 0."""
    size = next((chunk.size for chunk in found if chunk.name == form.data), 0)
    if form is W64 or size != _RF64_SIZE_IS_ELSEWHERE or b"ds64" not in bodies:
        return None
    (true_size,) = struct.unpack_from("<Q", bodies[b"ds64"], 8)
    return int(true_size) or None


def _aiff(path: Path, body: bytes) -> PcmFormat:
    """The common chunk (AIFF 1.3, Apple 1989, p. 5; AIFF-C draft, 1991, p. 6)."""
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
    """The description and the packet table (Apple Core Audio Format 1.0, pp. 17 and 32)."""
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
    """Frames by the packet table; 0 where it counts whole packets alone.

    ffmpeg writes such a table although the last packet is shorter.
    """
    packets, frames, _, _ = struct.unpack_from(">qqii", table)
    return 0 if frames == packets * per_packet else int(frames)


def _extended(digits: bytes) -> int:
    """A rate as AIFF writes it: an 80-bit number of IEEE 754."""
    exponent = (int.from_bytes(digits[:2], "big") & 0x7FFF) - 16383 - 63
    mantissa = int.from_bytes(digits[2:], "big")
    return round(mantissa * 2.0**exponent)
