"""The sound tracks of a film or of a file of stems, as ffmpeg describes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import DecodeError

LISTED = 8
"""Tracks that a sentence describes; more are counted."""

LONGEST_TITLE = 40
"""Characters of a title in a sentence."""

# "[info]   Stream #0:1[0x100](deu): Audio: aac (LC), 48000 Hz, stereo, fltp, 128 kb/s (default)"
_STREAM = re.compile(
    r"^\[info\] +Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\((?P<language>\w+)\))?"
    r": (?P<kind>\w+): (?P<codec>.*)$"
)
_TITLE = re.compile(r"^\[info\] +title +: (.*)$")
_LAYOUT = re.compile(r"\d+ Hz, ([^,]+)")


class NoTrackError(DecodeError):
    """A sound track was asked for that the file does not have."""

    has_only_one = False
    """Whether the file has one sound track."""


@dataclass(frozen=True)
class AudioTrack:
    """One sound track.

    Attributes:
        index: of the stream among all streams of the file, pictures too.
        language: as the container has it, e.g. ``eng``; empty when it does not say.
        title: likewise.
        layout: of the channels, e.g. ``stereo``.
        is_default: whether the file says that this is the one to play.
    """

    index: int
    language: str
    title: str
    layout: str
    is_default: bool

    def __str__(self) -> str:
        title = self.title[:LONGEST_TITLE]
        words = (self.language, self.layout, f'"{title}"' if title else "")
        return ", ".join(filter(None, words)) or "no description"


def read_tracks(log: str) -> list[AudioTrack]:
    """The sound tracks of ffmpeg's input in the order in which it counts them.

    Args:
        log: written with ``-loglevel level+info``. A line without that prefix belongs to a tag.
    """
    described, _, _ = log.partition("[info] Stream mapping:")
    described, _, _ = described.partition("\n[info] Output #0")
    found: dict[int, AudioTrack] = {}
    title = ""
    for line in reversed(described.splitlines()):  # a title stands behind its stream
        stream, named = _STREAM.match(line), _TITLE.match(line)
        title = named[1].strip() if named else title
        if stream:
            if stream["kind"] == "Audio":
                found[int(stream["index"])] = _track(stream, title)
            title = ""
    return [found[index] for index in sorted(found)]


def only_track(channels: int) -> AudioTrack:
    """The sound track of a file whose format has no more than one.

    Args:
        channels: how many.
    """
    layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    return AudioTrack(index=0, language="", title="", layout=layout, is_default=False)


def default_track(tracks: Sequence[AudioTrack]) -> int:
    """The number of the first track that the file calls the default one, from 0; else the first."""
    return next((number for number, track in enumerate(tracks) if track.is_default), 0)


def choice_notice(tracks: Sequence[AudioTrack], chosen: int) -> str:
    """A sentence on the other tracks of a file; empty when there is one alone.

    Args:
        tracks: of the file.
        chosen: number of the one that is used, from 0.
    """
    if len(tracks) < 2:
        return ""
    why = ", the default one," if tracks[chosen].is_default else ""
    return (
        f"there are {len(tracks)} sound tracks ({_listed(tracks)}): track {chosen + 1}{why} is "
        "used (--track N chooses another)"
    )


def no_track(path: Path, number: int, tracks: Sequence[AudioTrack]) -> NoTrackError:
    """A track was asked for that is not there.

    Args:
        path: of the file.
        number: of the track, from 0.
        tracks: of the file, one at least.
    """
    count = f"{len(tracks)} sound tracks" if len(tracks) > 1 else "1 sound track"
    error = NoTrackError(
        f"{path} has {count} ({_listed(tracks)}) and no track {number + 1}: type --track with one "
        "of these numbers, or leave it out"
    )
    error.has_only_one = len(tracks) == 1
    return error


def _track(stream: re.Match[str], title: str) -> AudioTrack:
    layout = _LAYOUT.search(stream["codec"])
    language = stream["language"] or ""
    return AudioTrack(
        index=int(stream["index"]),
        language="" if language == "und" else language,
        title=title,
        layout=layout[1] if layout else "",
        is_default="(default)" in stream["codec"],
    )


def _listed(tracks: Sequence[AudioTrack]) -> str:
    shown = [f"{number}: {track}" for number, track in enumerate(tracks[:LISTED], start=1)]
    more = [f"{len(tracks) - LISTED} more"] if len(tracks) > LISTED else []
    return "; ".join([*shown, *more])
