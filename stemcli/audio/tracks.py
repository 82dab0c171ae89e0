"""The audio tracks of a film or of a file of stems, as ffmpeg describes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import DecodeError
from model_zoo.option_names import Verbatim, option, setting

LISTED = 8
"""Tracks that a message describes; further tracks are only counted."""

LONGEST_TITLE = 40
"""Characters of a title in a message."""

# "[info]   Stream #0:1[0x100](deu): Audio: aac (LC), 48000 Hz, stereo, fltp, 128 kb/s (default)"
_STREAM = re.compile(
    r"^\[info\] +Stream #0:(?P<index>\d+)(?:\[0x[0-9a-f]+\])?(?:\((?P<language>\w+)\))?"
    r": (?P<kind>\w+): (?P<codec>.*)$"
)
_TITLE = re.compile(r"^\[info\] +title +: (.*)$")
_LAYOUT = re.compile(r"\d+ Hz, ([^,]+)")


class NoTrackError(DecodeError):
    """The file does not have the requested audio track."""

    has_only_one = False
    """Whether the file has exactly one audio track."""


@dataclass(frozen=True)
class AudioTrack:
    """One audio track.

    Attributes:
        index: of the stream among all streams of the file, including pictures.
        language: as in the container, e.g. ``eng``; empty if unknown.
        title: as in the container; empty if unknown.
        layout: of the channels, e.g. ``stereo``.
        is_default: whether the file marks this track as the default.
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
    """The audio tracks of ffmpeg's input, in ffmpeg's order.

    Args:
        log: written with ``-loglevel level+info``. A line without that prefix belongs to a tag.
    """
    described, _, _ = log.partition("[info] Stream mapping:")
    described, _, _ = described.partition("\n[info] Output #0")
    tracks: dict[int, AudioTrack] = {}
    title = ""
    for line in reversed(described.splitlines()):  # a title follows its stream
        stream, named = _STREAM.match(line), _TITLE.match(line)
        title = named[1].strip() if named else title
        if stream:
            if stream["kind"] == "Audio":
                tracks[int(stream["index"])] = _track(stream, title)
            title = ""
    return [tracks[index] for index in sorted(tracks)]


def only_track(channels: int) -> AudioTrack:
    """The audio track of a file whose format has only one.

    Args:
        channels: number of channels.
    """
    layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    return AudioTrack(index=0, language="", title="", layout=layout, is_default=False)


def default_track(tracks: Sequence[AudioTrack]) -> int:
    """Number, from 0, of the first track that is marked as default; else 0."""
    return next((number for number, track in enumerate(tracks) if track.is_default), 0)


def choice_notice(tracks: Sequence[AudioTrack], chosen: int) -> str:
    """A sentence about the tracks of a file and the one in use; empty if there is only one.

    Args:
        tracks: of the file.
        chosen: number of the track in use, from 0.
    """
    if len(tracks) < 2:
        return ""
    why = ", the default one," if tracks[chosen].is_default else ""
    return (
        f"there are {len(tracks)} audio tracks ({_listed(tracks)}): track {chosen + 1}{why} is "
        f"used ({setting(track=Verbatim('N'))} chooses another)"
    )


def no_track(path: Path, number: int, tracks: Sequence[AudioTrack]) -> NoTrackError:
    """Return the error for a track that does not exist.

    Args:
        path: of the file.
        number: of the track, from 0.
        tracks: of the file, at least one.
    """
    count = f"{len(tracks)} audio tracks" if len(tracks) > 1 else "1 audio track"
    error = NoTrackError(
        f"{path} has {count} ({_listed(tracks)}) and no track {number + 1}. Use "
        f"{option('track')} with one of these numbers, or leave it out"
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
