"""Whether what follows the samples of a file, by its header, is more of them."""

from __future__ import annotations

import re

import numpy as np

from stemcli.audio.chunks import Form, chunk_at
from stemcli.audio.file_bytes import FileBytes
from stemcli.audio.foreign_tags import end_of_tags
from stemcli.audio.pcm_format import PcmFormat

LEAST_SOUND = 4096
"""Bytes: some programs append a few, and less than this is never taken for sound."""

_LOOKED_AT = 65536  # bytes
_SEARCHED = 1 << 25  # bytes at the end of a file, for chunks: covers lie there
_CHUNKS = re.compile(
    rb"LIST|id3 |ID3 |bext|iXML|cue |smpl|inst|fact|JUNK|junk|PAD |PEAK|acid|cart|axml|chna|_PMX|"
    rb"DISP|afsp|plst|umid|NAME|AUTH|ANNO|COMT|MARK|INST|\(c\) |APPL|info|strg|uuid|free|midi|pakt"
)
_BEGINNINGS = (
    b"RIFF", b"RIFX", b"RF64", b"FORM", b"OggS", b"fLaC", b"caff", b".snd", b"riff", b"PK\3\4",
    b"%PDF", b"\xff\xd8\xff", b"\x89PNG", b"\x1aE\xdf\xa3", b"wvpk", b"MAC ", b"TTA1", b"<?xml",
)  # fmt: skip
_ROUGH = 1.0
"""Mean step from sample to sample over mean size, from which on bytes are as rough as noise.

Independent samples have 1.33 (uniform) or 1.41 (Gaussian), music 0.05 to 0.6.
"""


def is_sound(data: FileBytes, start: int, at: int, end: int, format: PcmFormat) -> bool:
    """Whether samples go on behind the place where the header says that they end.

    Args:
        data: the file.
        start: where the samples begin.
        at: where they end, by the header.
        end: where the file ends.
        format: how they lie.
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
    """Where chunks begin that lead exactly to the end of the file; ``end`` without any."""
    visited = set[int]()  # places that lead elsewhere
    for place in data.places(_CHUNKS, max(start, end - _SEARCHED), end, 4):
        if _leads_to_the_end(data, form, place, end, visited):
            return place
    return end


def _leads_to_the_end(data: FileBytes, form: Form, at: int, end: int, visited: set[int]) -> bool:
    """Whether chunks lead exactly there; adds all places on the way to those visited.

    Where a walk comes upon a place of an earlier one, it ends as that did: without success.
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
    """How much samples differ from their neighbours, beside how large they are."""
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
        data[place : min(place + _LOOKED_AT, end)].strip(b"\0")
        for place in range(at, end, _LOOKED_AT)
    )
