"""Coded frames that follow each other without a container: MPEG audio, ADTS, AC-3, E-AC-3, DTS.

Each frame begins with a sync word and says how long it is, so the file is walked from frame to
frame. Where the chain breaks, there is a tag, the end of the sound, or damage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stemcli.audio.file_bytes import FileBytes
from stemcli.audio.foreign_tags import end_of_tags

LONGEST_SYNC = 4  # bytes
HEADER = 48
"""Bytes at the beginning of a frame that tell everything that is needed here."""


class Frame(NamedTuple):
    """What the header of a frame says.

    Attributes:
        size: in bytes, with the header.
        samples: per channel.
        kind: what stays the same in one stream: the codec's version, rate and channels.
        sample_rate: in Hz.
        is_header: whether it counts the frames that follow, and holds no sound.
    """

    size: int
    samples: int
    kind: tuple[int, ...]
    sample_rate: int
    is_header: bool = False


_LONGEST_HEADER = 12  # bytes, without the counts that an MP3 has behind it

Parse = Callable[[bytes], Frame | None]


class Run(NamedTuple):
    """Frames of one kind that follow each other without a gap.

    Attributes:
        start: first byte.
        end: the byte behind the last whole frame.
        samples: per channel, in all frames but one that only counts the others.
        first: the header of the first.
        is_cut: whether another frame begins at ``end`` and the file ends before it does.
    """

    start: int
    end: int
    samples: int
    first: Frame
    is_cut: bool


def runs(
    data: FileBytes, start: int, end: int, parse: Parse, sync: re.Pattern[bytes]
) -> Iterator[Run]:
    """Walk all frames between two places.

    Args:
        data: the file.
        start: where the first frame, or tags and rubbish before it, begin.
        end: where to stop.
        parse: reads a header.
        sync: the first bytes of every header.
    """
    at = start
    while True:
        at = end_of_tags(data, at, end)
        at = _next_frame(data, at, end, parse, sync)
        if at < 0:
            return
        run = _run(data, at, end, parse)
        yield run
        at = run.end if not run.is_cut else end


def _run(data: FileBytes, at: int, end: int, parse: Parse) -> Run:
    first = parse(data[at : at + HEADER])
    assert first is not None
    start, samples = at, 0
    frame: Frame | None = first
    while frame and _belongs(frame, first, at > start) and at + frame.size <= end:
        at, samples = at + frame.size, samples + (0 if frame.is_header else frame.samples)
        frame = parse(data[at : min(at + HEADER, end)])
    is_cut = frame is not None and _belongs(frame, first, at > start)
    if frame is None and 2 <= end - at < _LONGEST_HEADER:
        is_cut = data[at : at + 2] == data[start : start + 2]
    return Run(start, at, samples, first, is_cut)


def _belongs(frame: Frame, first: Frame, is_later: bool) -> bool:
    return frame.kind == first.kind and not (is_later and frame.is_header)


def _next_frame(data: FileBytes, at: int, end: int, parse: Parse, sync: re.Pattern[bytes]) -> int:
    """Where a frame begins that another one follows, or the end; -1 where none does."""
    for place in data.places(sync, at, end, LONGEST_SYNC):
        frame = parse(data[place : min(place + HEADER, end)])
        if frame and _is_followed(data, place + frame.size, end, parse, frame):
            return place
    return -1


def _is_followed(data: FileBytes, at: int, end: int, parse: Parse, frame: Frame) -> bool:
    if at <= end and end_of_tags(data, at, end) == end:
        return True
    following = parse(data[at : min(at + HEADER, end)])
    return following is not None and following.kind == frame.kind
