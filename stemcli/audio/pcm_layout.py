"""Where the samples of one file lie, and whether its sizes are right."""

from __future__ import annotations

import struct
from typing import NamedTuple

from stemcli.audio.chunks import AIFF, CAF, PLACEHOLDER, RIFF, Form, leads_on
from stemcli.audio.file_bytes import FileBytes
from stemcli.audio.foreign_tags import end_of_tags, start_of_tags
from stemcli.audio.pcm_format import PcmFormat
from stemcli.audio.pcm_tail import is_sound, trailing_chunks


class Layout(NamedTuple):
    """Where the samples of a file lie.

    Attributes:
        form: the family of the file.
        base: where the file begins, behind tags.
        start: first byte of the samples.
        end: where the file ends.
        claimed: bytes of samples that the header counts; None where nobody counted.
        format: how they lie.
        others: more samples behind those, as pairs of the first byte and the one behind the last,
            which may lie behind the end of the file.
        list_start: first byte of the wave list that holds the samples; None without one.
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
    """The header of the file with one chunk of samples, outside of a list.

    Args:
        data: the file.
        layout: where its samples lie.
        size: bytes of samples that the chunk counts.
    """
    form, width = layout.form, struct.calcsize(layout.form.header)
    body = layout.start - form.skipped
    before = body - width if layout.list_start is None else layout.list_start
    counted = min(size, PLACEHOLDER) + form.skipped + (width if form.counts_header else 0)
    chunk = struct.pack(form.header, form.data, counted)
    return data[layout.base : before] + chunk + data[body : layout.start]


def is_honest(data: FileBytes, layout: Layout, last: int) -> bool:
    """Whether libsndfile, which goes by the sizes, finds the samples that are there.

    It is left alone with chunks behind the samples where the size of the whole file includes them.

    Args:
        data: the file.
        layout: where its samples lie.
        last: where they really end.
    """
    form, base, start, end, claimed, *_ = layout
    if layout.list_start is not None:
        return False  # libsndfile passes over lists
    if claimed is None or start + claimed < last or (start + claimed > last != end):
        return False
    if form is CAF and start + claimed > end:
        return False  # libsndfile refuses it
    if (start - base) % min(form.align, 2):
        return False  # padding is missing before the samples, and libsndfile counts on it
    if end - last <= -(last - base) % form.align:
        return True
    (size,) = data.unpack(form.header[0] + "I", base + 4)
    return form in (RIFF, AIFF) and 0 <= end - base - 8 - size <= 1


def end_of_sound(data: FileBytes, layout: Layout) -> int:
    """Where the samples really end.

    Args:
        data: the file.
        layout: where its samples lie, by its header.
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
    """Whether the file, a chunk or a tag follows here."""
    form, end = layout.form, layout.end
    return leads_on(data, form, layout.base, at, end) or end_of_tags(data, at, end) > at
