"""Finds the audio in files of frames without a container: MP3, MP2, AAC, AC-3, E-AC-3, DTS."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from stemcli.audio.containers.frames import (
    AC3_SYNC,
    ADTS_SYNC,
    DTS_SYNC,
    HEADER,
    LONGEST_SYNC,
    MPEG_SYNC,
    FrameRun,
    Parse,
    ac3,
    adts,
    dts,
    mpeg_audio,
    runs,
)
from stemcli.audio.containers.mp3 import INCOMPLETE, mp3_parts
from stemcli.audio.containers.part import FileBytes, FilePart
from stemcli.audio.containers.surrounding_tags import end_of_tags

Find = Callable[[Path, FileBytes, int, int], list[FilePart]]


class _Codec(NamedTuple):
    """A codec whose frames need no container.

    Attributes:
        suffixes: extensions of its files.
        parse: parses the header of a frame.
        sync: the first bytes of every header.
        find: returns the parts of a file.
    """

    suffixes: tuple[str, ...]
    parse: Parse
    sync: re.Pattern[bytes]
    find: Find


_SURE = 3  # consecutive frames that identify a codec
_SEARCHED = 65536  # bytes at the beginning without a frame, as in a recording of a broadcast


def coded_parts(path: Path, data: FileBytes, start: int, end: int) -> list[FilePart]:
    """The parts of a file of frames; empty if it is not such a file.

    Args:
        path: the file.
        data: its bytes.
        start: where the first frame begins, after all tags.
        end: where the audio ends at the latest.
    """
    for codec in _CODECS:
        if _begins(data, start, end, codec.parse):
            return codec.find(path, data, start, end)
    return []


def with_a_broken_start(path: Path, data: FileBytes, start: int, end: int) -> list[FilePart]:
    """The parts of a file that was cut from a stream, so that it begins inside a frame.

    Empty if the extension of the file is not that of a codec, or if there are no frames in a row.
    """
    codec = next((codec for codec in _CODECS if path.suffix.lower() in codec.suffixes), None)
    if codec is None:
        return []
    searched = min(end, start + _SEARCHED)
    for offset in data.find_all(codec.sync, start, searched, LONGEST_SYNC):
        if _begins(data, offset, end, codec.parse):
            return codec.find(path, data, offset, end)
    return []


def _begins(data: FileBytes, at: int, end: int, parse: Parse) -> bool:
    """Whether there are frames in a row from ``at`` on, :data:`_SURE` or up to the end."""
    kind = None
    for number in range(_SURE):
        frame = parse(data[at : min(at + HEADER, end)])
        if frame is None or (kind and frame.kind != kind):
            return number > 0 and end_of_tags(data, at, end) == end
        kind, at = frame.kind, at + frame.size
    return True


def _by_ffmpeg(
    muxer: str,
    parse: Parse,
    sync: re.Pattern[bytes],
    path: Path,
    data: FileBytes,
    start: int,
    end: int,
) -> list[FilePart]:
    found = list(runs(data, start, end, parse, sync))
    if not found:
        return []
    is_steady = len({run.first.kind for run in found}) == 1
    frames = sum(run.samples for run in found) if is_steady and muxer != "aac" else None
    pieces = ((found[0].start, found[-1].end),)
    flaw = _flaw(data, found)
    cut = flaw == INCOMPLETE
    return [FilePart(path, pieces, muxer=muxer, frames=frames, flaw=flaw, breaks_off=cut)]


def _flaw(data: FileBytes, found: list[FrameRun]) -> str:
    for before, after in pairwise(found):
        if end_of_tags(data, before.end, after.start) != after.start:
            return "no frame follows where one should"
    return INCOMPLETE if found[-1].is_cut else ""


def _codec(suffixes: str, muxer: str, parse: Parse, sync: re.Pattern[bytes]) -> _Codec:
    find = partial(_by_ffmpeg, muxer, parse, sync) if muxer else mp3_parts
    return _Codec(tuple(suffixes.split()), parse, sync, find)


_CODECS = (
    _codec(".mp1 .mp2 .mp3 .m2a .mpa .mpga", "", mpeg_audio, MPEG_SYNC),
    _codec(".aac .adts", "aac", adts, ADTS_SYNC),
    _codec(".ac3 .eac3 .ec3", "ac3", ac3, AC3_SYNC),
    _codec(".dts", "dts", dts, DTS_SYNC),
)
