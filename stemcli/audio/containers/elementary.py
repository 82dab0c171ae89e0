"""Where the sound of coded frames without a container lies: MP3, MP2, AAC, AC-3, E-AC-3, DTS."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from stemcli.audio.containers.file_bytes import FileBytes
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
from stemcli.audio.containers.part import FilePart
from stemcli.audio.containers.surrounding_tags import end_of_tags

Find = Callable[[Path, FileBytes, int, int], list[FilePart]]


class _Codec(NamedTuple):
    """A codec whose frames need no container.

    Attributes:
        suffixes: of its files.
        parse: reads the header of a frame.
        sync: the first bytes of every header.
        find: makes parts of a file.
    """

    suffixes: tuple[str, ...]
    parse: Parse
    sync: re.Pattern[bytes]
    find: Find


_SURE = 3  # frames that have to follow each other before they are believed
_SEARCHED = 65536  # bytes without a frame at the beginning, as of a stream that was cut out


def coded_parts(path: Path, data: FileBytes, start: int, end: int) -> list[FilePart]:
    """The sounds of a file of coded frames; none where the file is not one.

    Args:
        path: the file.
        data: its bytes.
        start: where the first frame begins, behind all tags.
        end: where the sound ends at the latest.
    """
    for codec in _CODECS:
        if _begins(data, start, end, codec.parse):
            return codec.find(path, data, start, end)
    return []


def with_a_broken_start(path: Path, data: FileBytes, start: int, end: int) -> list[FilePart]:
    """The sounds of a file that was cut out of a stream, so that it begins inside a frame.

    None where the name of the file is not one of coded frames, or no frames follow each other.
    """
    codec = next((codec for codec in _CODECS if path.suffix.lower() in codec.suffixes), None)
    if codec is None:
        return []
    searched = min(end, start + _SEARCHED)
    for place in data.places(codec.sync, start, searched, LONGEST_SYNC):
        if _begins(data, place, end, codec.parse):
            return codec.find(path, data, place, end)
    return []


def _begins(data: FileBytes, at: int, end: int, parse: Parse) -> bool:
    """Whether frames follow each other from here on, at least :data:`_SURE` or to the end."""
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
