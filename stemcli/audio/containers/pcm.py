"""Finds the samples in WAV, RF64, W64, AIFF, AIFC, CAF and AU files.

The size of the data is one number that a recorder writes when it stops. It is wrong if the recorder
was switched off, beyond 4 GB, and if a program wrote to a pipe; and data after the samples (tags,
pictures, other chunks) is not audio. Files with consistent sizes are left to libsndfile; in others,
the samples are searched for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stemcli.audio.containers.chunks import (
    AIFF,
    CAF,
    MOST_CHUNKS,
    PCM,
    PLACEHOLDER,
    RIFF,
    RIFX,
    W64,
    Chunk,
    Form,
    ManyChunksError,
    au_format,
    behind_chunk,
    chunks,
    chunks_and_lists,
    form_of,
    is_wave_list,
    leads_on,
    pcm_format,
)
from stemcli.audio.containers.elementary import coded_parts
from stemcli.audio.containers.frames import bitstream
from stemcli.audio.containers.part import ANOTHER, FileBytes, FilePart
from stemcli.audio.containers.pcm_layout import Layout, end_of_sound, header, is_honest
from stemcli.audio.containers.surrounding_tags import MAGIC, end_of_zeros, is_alike
from stemcli.audio.info import coded_chunks, counted_silence, cut_off, many_chunks, scattered

_AU = Form(">4sI", 24, 1, False, b"", 0)
_CODED = {0x50, 0x55, 0xFF, 0x2000, 0x2001}
"""Tags of MP2, MP3, AAC, AC-3 and DTS in the "fmt " chunk (RFC 2361)."""

_CHECKED = 1 << 18  # bytes of samples that are searched for a hidden codec


_MOST_CHUNKS = 1000  # chunks with samples: 17 hours if a recorder starts a new one every minute


def pcm_parts(path: Path, data: FileBytes, base: int, end: int) -> list[FilePart]:
    """The parts of a file of samples; empty if the file is not of that kind.

    Args:
        path: the file.
        data: its bytes.
        base: where it begins, after tags.
        end: where the file ends.

    Raises:
        DecodeError: not all samples can be found, or the file ends before them.
    """
    try:
        return _pcm_parts(path, data, base, end)
    except ManyChunksError as error:
        raise many_chunks(path, MOST_CHUNKS) from error


def _pcm_parts(path: Path, data: FileBytes, base: int, end: int) -> list[FilePart]:
    form = form_of(data, base)
    if data[base : base + 4] == b".snd":
        layout = _au_layout(path, data, base, end)
    elif form is not None:
        layout = _layout(path, data, form, base, end)
    else:
        return []
    if layout is None or layout.format.block == 0:
        return [_without_samples(path, data, form, base, end)]
    *before, final = _parts(path, data, layout)
    if not final.flaw and _another_follows(data, layout):
        final = replace(final, flaw=ANOTHER)
    return [*before, final]


def _without_samples(
    path: Path, data: FileBytes, form: Form | None, base: int, end: int
) -> FilePart:
    """A file without samples or with an incomplete header, for the decoders to report.

    Raises:
        DecodeError: the file ends before its samples.
    """
    if form is None:
        return FilePart(path)
    names, reached = set[bytes](), base + form.first
    for chunk in chunks(data, form, base, end):
        names.add(chunk.name)
        reached = chunk.start + chunk.size
    if form.data not in names and reached + struct.calcsize(form.header) > end:
        raise cut_off(path, "it ends before its samples")
    return FilePart(path)


def _layout(path: Path, data: FileBytes, form: Form, base: int, end: int) -> Layout | None:
    found = list(chunks_and_lists(data, form, base, end))
    _require_stored(path, form, found)
    sound = next((chunk for chunk in found if chunk.name == form.data), None)
    format = pcm_format(path, data, form, found) if sound else None
    if sound is None or format is None:
        return None
    start, size = sound.start + form.skipped, sound.size - form.skipped
    claimed: int | None = size if format.size is None or form is AIFF else format.size
    limit = PLACEHOLDER if form not in (W64, CAF) and format.size is None else 1 << 60
    listed = _list_start(data, found, sound)
    is_empty = start >= end or leads_on(data, form, base, start, end)
    if claimed is None or not 0 <= claimed < limit or (claimed == 0 and not is_empty):
        return Layout(form, base, start, end, None, format, list_start=listed)
    others = _other_samples(
        path, data, form, base, sound._replace(size=start - sound.start + claimed), end
    )
    return Layout(form, base, start, end, claimed, format, others, listed)


def _list_start(data: FileBytes, found: Sequence[Chunk], sound: Chunk) -> int | None:
    """The start of the wave list that contains the chunk; None if there is none."""
    lists = (each for each in found if is_wave_list(data, each))
    around = (each for each in lists if 0 < sound.start - each.start <= each.size)
    return next((each.start - struct.calcsize(RIFF.header) for each in around), None)


def _require_stored(path: Path, form: Form, found: Sequence[Chunk]) -> None:
    """Refuse silence that is counted instead of stored.

    Raises:
        DecodeError: a chunk counts silence.
    """
    if form in (RIFF, RIFX) and any(chunk.name == b"slnt" for chunk in found):
        raise counted_silence(path)


def _other_samples(
    path: Path, data: FileBytes, form: Form, base: int, sound: Chunk, end: int
) -> tuple[tuple[int, int], ...]:
    """Byte ranges of further chunks with samples, which decoders would ignore.

    Raises:
        DecodeError: a chunk between them counts silence, or there are too many.
    """
    behind = behind_chunk(data, form, base, sound, end)
    more = list(chunks_and_lists(data, form, base, end, first=behind))
    _require_stored(path, form, more)
    samples = [chunk for chunk in more if chunk.name == form.data and chunk.size > form.skipped]
    if len(samples) > _MOST_CHUNKS:
        raise scattered(path, 1 + len(samples))
    return tuple((each.start + form.skipped, each.start + each.size) for each in samples)


def _au_layout(path: Path, data: FileBytes, base: int, end: int) -> Layout | None:
    found = au_format(path, data[base : base + 24])
    if found is None:
        return None
    format, offset, size = found
    start = base + offset
    claimed = None if size >= PLACEHOLDER or (size == 0 and start < end) else size
    return Layout(_AU, base, start, end, claimed, format)


def _parts(path: Path, data: FileBytes, layout: Layout) -> list[FilePart]:
    format, claimed = layout.format, layout.claimed
    if layout.others:
        return [_all_chunks(path, data, layout)]
    last = end_of_sound(data, layout)
    hidden = _hidden(path, data, layout, last)
    if hidden and claimed and layout.start + claimed > layout.end:
        flaw = f"{layout.start + claimed - layout.end} bytes are missing"
        hidden[-1] = replace(hidden[-1], flaw=flaw, breaks_off=True)
    if hidden:
        return hidden
    counted = format.size if layout.form is AIFF and format.size else claimed
    have = max(0, last - layout.start)
    frames = max(have, counted or 0) // format.block * format.block_frames or None
    if layout.form is CAF and not format.raw:
        return [_coded_caf(path, data, layout)]
    if have and is_honest(data, layout, last):
        return [FilePart(path, frames=frames)]
    pieces = ((layout.start, last),)
    if format.raw:
        return [FilePart(path, pieces, raw=format.raw, frames=frames)] if have else [FilePart(path)]
    return [FilePart(path, pieces, header(data, layout, have), frames=frames)]


def _coded_caf(path: Path, data: FileBytes, layout: Layout) -> FilePart:
    """Packets of a codec in a CAF; a table before or after has their sizes if they differ."""
    format, end = layout.format, layout.end
    missing = layout.start + (layout.claimed or 0) - end
    frames = format.tag or (layout.claimed or 0) // format.block * format.block_frames or None
    tables = [chunk for chunk in chunks(data, CAF, layout.base, end) if chunk.name == b"pakt"]
    flaw = f"{missing} bytes are missing" if missing > 0 else ""
    is_whole = all(table.start + table.size <= end for table in tables)
    if not is_whole or not (tables or format.block_frames):
        flaw = "its table of packets is " + ("missing" if is_whole else "incomplete")
    if flaw:
        return FilePart(path, muxer="caf", frames=frames, flaw=flaw, breaks_off=True)
    return FilePart(path, frames=frames)


def _all_chunks(path: Path, data: FileBytes, layout: Layout) -> FilePart:
    """The samples of several chunks as one part. Padding may be counted as samples.

    Raises:
        DecodeError: the samples are compressed; ffmpeg would read only one chunk.
    """
    format, end = layout.format, layout.end
    first_end = min(layout.start + (layout.claimed or 0), end)
    is_coded_caf = layout.form is CAF and not format.raw
    if is_coded_caf or _hidden(path, data, layout, first_end):
        raise coded_chunks(path)
    claimed = ((layout.start, layout.start + (layout.claimed or 0)), *layout.others)
    blocks = [(last - first) // format.block for first, last in claimed]
    starts = [min(first, end) for first, _ in claimed]
    pieces = tuple(
        (start, min(start + count * format.block, end))
        for start, count in zip(starts, blocks, strict=True)
    )
    frames = sum(blocks) * format.block_frames
    if format.raw:
        return FilePart(path, pieces, raw=format.raw, frames=frames)
    size = sum(last - first for first, last in pieces)
    return FilePart(path, pieces, header(data, layout, size), frames=frames or None)


def _another_follows(data: FileBytes, layout: Layout) -> bool:
    form, base, start, end, claimed, *_ = layout
    behind = start + (claimed or 0)
    offsets = {behind, behind + -(behind - base) % form.align}
    if form is not _AU:
        width = struct.calcsize(form.header)
        for chunk in chunks(data, form, base, end):
            offsets |= {chunk.start - width, chunk.start + max(0, chunk.size)}
    offsets |= {offset + 1 for offset in offsets}  # CAF pads too, without documenting it
    inside = sorted(at for at in offsets if start < at < end)  # in the order of the file
    head = data[base : base + MAGIC]
    return any(is_alike(head, data[at : at + MAGIC]) for at in inside)


def _hidden(path: Path, data: FileBytes, layout: Layout, last: int) -> list[FilePart]:
    """The parts of compressed audio in a container for samples; empty for real samples."""
    start, format = layout.start, layout.format
    if format.tag in _CODED:
        return coded_parts(path, data, start, last)
    raw = format.raw
    if layout.form is CAF or raw is None or raw.subtype not in ("PCM_16", "PCM_U8"):
        return []
    found = coded_parts(path, data, end_of_zeros(data, start, last), last)
    if found:
        return found
    codec = bitstream(bytes(data[start : min(last, start + _CHECKED)]))
    if format.tag == PCM and codec and not codec.endswith("AC-3"):  # ffmpeg misreads swapped AC-3
        return [FilePart(path, muxer="wav" if layout.form is not W64 else "w64")]
    return []
