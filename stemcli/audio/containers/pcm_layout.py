"""The layout of chunks in a file of samples, and where the samples really end."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import numpy as np

from stemcli.audio.containers.chunks import (
    AIFF,
    CAF,
    PLACEHOLDER,
    RIFF,
    Form,
    PcmFormat,
    chunk_at,
    leads_on,
)
from stemcli.audio.containers.part import FileBytes
from stemcli.audio.containers.surrounding_tags import end_of_tags, start_of_tags

LEAST_SOUND = 4096
"""Bytes; some programs append a few, so less than this never counts as audio."""

_LOOKED_AT = 65536  # bytes
_SEARCHED = 1 << 25  # bytes at the end of a file to search for chunks, which may hold covers
_CHUNKS = re.compile(
    rb"LIST|id3 |ID3 |bext|iXML|cue |smpl|inst|fact|JUNK|junk|PAD |PEAK|acid|cart|axml|chna|_PMX|"
    rb"DISP|afsp|plst|umid|NAME|AUTH|ANNO|COMT|MARK|INST|\(c\) |APPL|info|strg|uuid|free|midi|pakt"
)
_BEGINNINGS = (
    b"RIFF", b"RIFX", b"RF64", b"FORM", b"OggS", b"fLaC", b"caff", b".snd", b"riff", b"PK\3\4",
    b"%PDF", b"\xff\xd8\xff", b"\x89PNG", b"\x1aE\xdf\xa3", b"wvpk", b"MAC ", b"TTA1", b"<?xml",
)  # fmt: skip
_ROUGH = 1.0
"""Mean difference of neighbouring samples over mean size, above which data counts as noise.

Independent samples have 1.33 (uniform) or 1.41 (Gaussian), music 0.05 to 0.6.
"""


def is_sound(data: FileBytes, start: int, at: int, end: int, format: PcmFormat) -> bool:
    """Whether samples continue after their end by the header.

    Args:
        data: the file.
        start: where the samples begin.
        at: where they end, by the header.
        end: where the file ends.
        format: the sample format.
    """
    if end - at < LEAST_SOUND or end_of_tags(data, at, end) > at or _is_zero(data, at, end):
        return False
    padded = data[at : min(at + _LOOKED_AT, end)].lstrip(b"\0")
    if padded.startswith(_BEGINNINGS) or not padded.translate(None, _TEXT):
        return False
    at -= (at - start) % format.block
    head = data[at : min(at + _LOOKED_AT, end)]
    before = data[max(start, at - _LOOKED_AT // format.block * format.block) : at]
    return _roughness(head, format) < max(_ROUGH, 1.1 * _roughness(before, format))


_TEXT = bytes([9, 10, 12, 13, *range(32, 127)])


def trailing_chunks(data: FileBytes, form: Form, start: int, end: int) -> int:
    """The start of trailing chunks that end exactly at the end of the file; else ``end``."""
    visited = set[int]()  # positions that do not lead to the end
    for offset in data.find_all(_CHUNKS, max(start, end - _SEARCHED), end, 4):
        if _leads_to_the_end(data, form, offset, end, visited):
            return offset
    return end


def _leads_to_the_end(data: FileBytes, form: Form, at: int, end: int, visited: set[int]) -> bool:
    """Whether chunks from ``at`` on end exactly at ``end``; adds their positions to ``visited``.

    A position that was visited before cannot lead to the end.
    """
    chunk = None
    while at < end and at not in visited:
        visited.add(at)
        chunk = chunk_at(data, form, at, end)
        if chunk is None:
            return False
        at = chunk.start + max(0, chunk.size)
        at += at % form.align if form.align == 2 else -at % form.align
    return at >= end and chunk is not None and chunk.start + chunk.size in (end, end - 1)


def _roughness(data: bytes, format: PcmFormat) -> float:
    """Mean difference of neighbouring samples, relative to their mean size."""
    raw = format.raw
    if raw is None or len(data) < 2 * format.block:
        return 0.0
    samples = _numbers(data[: len(data) // format.block * format.block], format)
    frames = samples.reshape(-1, raw.channels)
    size = float(np.abs(frames - frames.mean(axis=0)).mean())
    return float(np.abs(np.diff(frames, axis=0)).mean()) / size if size > 0 else 0.0


def _numbers(data: bytes, format: PcmFormat) -> np.ndarray:
    raw = format.raw
    assert raw is not None
    order = "<" if raw.endian == "LITTLE" else ">"
    if raw.subtype == "PCM_24":
        bytes_ = np.frombuffer(data, np.uint8).reshape(-1, 3)
        upper = bytes_[:, 1:] if order == "<" else bytes_[:, :2]
        return np.ascontiguousarray(upper).view(f"{order}i2")[:, 0].astype(np.float64)
    kind = {"PCM_U8": "u1", "PCM_S8": "i1", "PCM_16": "i2", "PCM_32": "i4", "FLOAT": "f4",
            "DOUBLE": "f8"}.get(raw.subtype)  # fmt: skip
    if kind is None:
        return np.zeros(len(data))
    numbers = np.frombuffer(data, f"{order}{kind}").astype(np.float64)
    return np.clip(np.nan_to_num(numbers), -1e9, 1e9)


def _is_zero(data: FileBytes, at: int, end: int) -> bool:
    return not any(
        data[offset : min(offset + _LOOKED_AT, end)].strip(b"\0")
        for offset in range(at, end, _LOOKED_AT)
    )


class Layout(NamedTuple):
    """The location of the samples in a file.

    Attributes:
        form: the family of the file.
        base: where the file begins, after tags.
        start: first byte of the samples.
        end: where the file ends.
        claimed: bytes of samples by the header; None if it has no count.
        format: the sample format.
        others: further samples, as pairs of the first byte and the one after the last, which may
            lie beyond the end of the file.
        list_start: first byte of the wave list that contains the samples; None without one.
    """

    form: Form
    base: int
    start: int
    end: int
    claimed: int | None
    format: PcmFormat
    others: tuple[tuple[int, int], ...] = ()
    list_start: int | None = None


def header(data: FileBytes, layout: Layout, size: int) -> bytes:
    """Build a header for the file with one chunk of samples, outside of a list.

    Args:
        data: the file.
        layout: location of its samples.
        size: bytes of samples in the chunk.
    """
    form, width = layout.form, struct.calcsize(layout.form.header)
    body = layout.start - form.skipped
    before = body - width if layout.list_start is None else layout.list_start
    counted = min(size, PLACEHOLDER) + form.skipped + (width if form.counts_header else 0)
    chunk = struct.pack(form.header, form.data, counted)
    return data[layout.base : before] + chunk + data[body : layout.start]


def is_honest(data: FileBytes, layout: Layout, last: int) -> bool:
    """Whether libsndfile, which trusts the sizes, finds exactly the samples of the file.

    Chunks after the samples are acceptable if the size of the whole file includes them.

    Args:
        data: the file.
        layout: location of its samples.
        last: where they really end.
    """
    form, base, start, end, claimed, *_ = layout
    if layout.list_start is not None:
        return False  # libsndfile skips lists
    if claimed is None or start + claimed < last or (start + claimed > last != end):
        return False
    if form is CAF and start + claimed > end:
        return False  # libsndfile refuses it
    if (start - base) % min(form.align, 2):
        return False  # padding is missing before the samples, and libsndfile expects it
    if end - last <= -(last - base) % form.align:
        return True
    (size,) = data.unpack(form.header[0] + "I", base + 4)
    return form in (RIFF, AIFF) and 0 <= end - base - 8 - size <= 1


def end_of_sound(data: FileBytes, layout: Layout) -> int:
    """The real end of the samples.

    Args:
        data: the file.
        layout: location of its samples by its header.
    """
    form, base, start, end, claimed, format, *_ = layout
    if claimed is not None and start + claimed <= end:
        behind = start + claimed
        padded = behind + -(behind - base) % form.align
        if any(_is_end(data, layout, at) for at in {behind, padded}):
            return behind
        if not is_sound(data, start, behind, end, format):
            return behind
        counted = start + (format.size or 0)
        if form is AIFF and behind < counted <= end:
            return counted
    elif claimed is not None and claimed >= PLACEHOLDER:
        return end
    return trailing_chunks(data, form, start, start_of_tags(data, start, end))


def _is_end(data: FileBytes, layout: Layout, at: int) -> bool:
    """Whether the end of the file, a chunk or a tag follows at ``at``."""
    form, end = layout.form, layout.end
    return leads_on(data, form, layout.base, at, end) or end_of_tags(data, at, end) > at
