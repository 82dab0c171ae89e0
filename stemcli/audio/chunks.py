"""The chunks of WAV, RF64, BW64, Wave64, AIFF, AIFC and CAF, and the header of AU.

Sizes are believed only where they lead to another chunk or to the end of the file: padding bytes
are forgotten by many programs, and sizes are 0 or a placeholder where a program wrote into a pipe.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from stemcli.audio.file_bytes import FileBytes

PLACEHOLDER = 0x7F000000
"""Bytes: programs that write into a pipe leave this many or more where they know no size."""

MOST_CHUNKS = 20_000
"""Chunks of a file that are walked; recorders write a few dozen."""

_W64_DATA = b"data" + bytes.fromhex("F3ACD3118CD100C04F8EDB8A")
_W64_RIFF = b"riff" + bytes.fromhex("2E91CF11A5D628DB04C10000")


class ManyChunksError(Exception):
    """A file has more than :data:`MOST_CHUNKS`, so samples behind them would not be found."""


class Form(NamedTuple):
    """How a family of files is built of chunks.

    Attributes:
        header: of a chunk, for :mod:`struct`: name and size.
        first: where the first chunk begins.
        align: a chunk begins at a multiple of this, from the beginning of the file.
        counts_header: whether a chunk's size counts its header as well.
        data: the name of the chunk that holds the sound.
        skipped: bytes between the header of that chunk and the sound.
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
    """One chunk: its name, where its body begins, and the size that its header names."""

    name: bytes
    start: int
    size: int


def form_of(data: FileBytes, at: int) -> Form | None:
    """The family of a file that begins here; None for any other."""
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
    """The chunks from the first on, up to what is none.

    Args:
        data: the file.
        form: its family.
        base: where the file begins, behind tags.
        end: where it ends.
        first: where the first chunk begins, if not behind the header of the file.

    Raises:
        ManyChunksError: there is one more than :data:`MOST_CHUNKS`.
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
    """As :func:`chunks`, and behind each wave list the chunks inside of it.

    Raises:
        ManyChunksError: there are too many in a row.
    """
    for chunk in chunks(data, form, base, end, first):
        yield chunk
        if is_wave_list(data, chunk):
            last = min(end, chunk.start + chunk.size)
            yield from chunks(data, form, base, last, first=chunk.start + 4)


def is_wave_list(data: FileBytes, chunk: Chunk) -> bool:
    """Whether this is a LIST of type "wavl", which holds the sound of some WAV files.

    Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", WAVE,
    "Wave Data".

    Args:
        data: the file.
        chunk: of it.
    """
    return chunk.name == b"LIST" and data[chunk.start : chunk.start + 4] == b"wavl"


def chunk_at(data: FileBytes, form: Form, at: int, end: int) -> Chunk | None:
    """The chunk whose header begins here; None where none does."""
    width = struct.calcsize(form.header)
    if at + width > end:
        return None
    name, size = struct.unpack(form.header, data[at : at + width])
    if not all(32 <= letter < 127 for letter in name[:4]):
        return None
    return Chunk(name, at + width, size - width if form.counts_header else size)


def behind_chunk(data: FileBytes, form: Form, base: int, chunk: Chunk, end: int) -> int:
    """Where the next chunk begins: behind padding, which is of zeros where it is there."""
    behind = chunk.start + max(0, chunk.size)
    padded = behind + -(behind - base) % form.align
    is_missing = behind < end and data[behind] and leads_on(data, form, base, behind, end)
    return behind if is_missing else padded


def leads_on(data: FileBytes, form: Form, base: int, at: int, end: int) -> bool:
    """Whether chunks begin here that lead to the end of the file, or it ends here.

    A byte of padding may be missing at the end, and what follows the last chunk may be anything.
    """
    if at >= end:
        return at - end < form.align
    chunk = chunk_at(data, form, at, end)
    return chunk is not None and chunk.size >= 0 and chunk.start + chunk.size <= end
