"""Detects silent files and samples that are not finite, which headers do not reveal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from model_zoo.errors import AudioError
from stemcli.audio.ffmpeg_process import decoding_pool
from stemcli.audio.info import AudioInfo
from stemcli.audio.reader import open_audio
from stemcli.engine.song import finite
from stemcli.printable import counted
from trainers.data.layouts import READERS
from trainers.data.layouts.listing import THREADS, library_folders, listed
from trainers.data.layouts.survey import Findings
from trainers.data.recording import SILENCE_RMS
from trainers.data.tracks import Groups, Source, Track, parts_of


def silent_everywhere(stems: Mapping[str, Iterable[str]], *, are_files: bool) -> list[str]:
    """Report stems that are silent in all training data, one sentence each.

    Args:
        stems: stems and the names of the songs, or files, that have them.
        are_files: whether the data consists of single stem files instead of songs.
    """
    if not are_files:
        words = f"{', '.join(stems)} is silent in every song. Choose other songs with --data"
        return [words] if stems else []
    return [
        f"every file in {' and '.join(library_folders(names))} is silent: add files with sound"
        " in them"
        for names in stems.values()
    ]


def silent_to_validate(stems: Iterable[str], songs: Iterable[str]) -> str:
    """Report validation songs in which no stem is audible, in one sentence."""
    what = ", ".join(stems) or "The mixture"
    return f"{what} is silent in {', '.join(songs)}. Choose other songs with --validation DIR"


FLOAT = "32f"
"""Bit depth of files that can contain NaN."""


def check_audio(found: Findings, stems: tuple[str, ...] | None, groups: Groups) -> Findings:
    """Add problems that headers do not reveal but that would make a training fail.

    Floating-point files are read to the end. Others are read up to the first sound: all single stem
    files, and of songs as many as it takes to find one in which a stem is audible.

    Args:
        found: findings from the headers.
        stems: stems of the network; None to require all stems of the data.
        groups: network stems that are sums of data stems.
    """
    reader = READERS.get(found.layout)
    if reader is None:
        return found
    detector, are_files = _SoundDetector(found.headers), not reader.holds_songs
    detector.detect(_all(found.songs) if are_files else _floats(found.headers))
    required = tuple(found.stems) if stems is None or are_files else stems
    silent = _silent_stems(found.training, required, groups, detector)
    problems = silent_everywhere(silent, are_files=are_files)
    scored = [parts_of(stem, groups) for stem in stems or ()] if found.validation else []
    if scored and not any(detector.any_sound(found.validation, parts) for parts in scored):
        names = [song.name for song in found.validation]
        problems.append(silent_to_validate(stems or (), names))
    return replace(
        found,
        problems=tuple(dict.fromkeys((*found.problems, *detector.problems, *problems))),
        notes=(*found.notes, *(_silent_files(found.songs, detector) if are_files else ())),
    )


def _silent_stems(
    songs: tuple[Track, ...], stems: tuple[str, ...], groups: Groups, detector: _SoundDetector
) -> dict[str, list[str]]:
    """Return the stems that are silent in all songs, with the names of the songs that have them."""
    having = {stem: _names(songs, parts_of(stem, groups)) for stem in stems}
    return {
        stem: names
        for stem, names in having.items()
        if names and not detector.any_sound(songs, parts_of(stem, groups))
    }


class _SoundDetector:
    """Reads each file once to detect sound.

    Attributes:
        has_sound: whether each file read so far has sound.
        problems: errors of unreadable files, which count as having sound.
    """

    def __init__(self, headers: Mapping[Source, AudioInfo]) -> None:
        self._headers = headers
        self.has_sound: dict[Source, bool] = {}
        self.problems: list[str] = []

    def detect(self, sources: Iterable[Source]) -> None:
        """Read files in parallel; skips files without a readable header."""
        unknown = [one for one in sources if one in self._headers and one not in self.has_sound]
        with decoding_pool(THREADS) as pool:
            found = list(
                pool.map(lambda source: _has_sound(self._headers[source], source), unknown)
            )
        self.problems += [one for one in found if isinstance(one, str)]
        self.has_sound |= {source: bool(one) for source, one in zip(unknown, found, strict=True)}

    def any_sound(self, songs: Iterable[Track], parts: Iterable[str]) -> bool:
        """Return whether any song has sound in any of these parts; unknown files count as sound."""
        for song in songs:
            for source in (song.stems[part] for part in parts if part in song.stems):
                self.detect([source])
                if self.has_sound.get(source, True):
                    return True
        return False


def _has_sound(info: AudioInfo, source: Source) -> bool | str:
    """Return whether a file has sound, or the error that makes it unreadable."""
    try:
        with open_audio(source.path, stream=source.stream) as reader:
            blocks = finite(reader, source.path, info.sample_rate)
            loud = (bool(np.abs(block).max() >= SILENCE_RMS) for block in blocks)
            return max(loud, default=False) if info.depth == FLOAT else any(loud)
    except AudioError as error:
        return str(error)


def _all(songs: Iterable[Track]) -> list[Source]:
    return list(dict.fromkeys(source for song in songs for source in song.stems.values()))


def _floats(headers: Mapping[Source, AudioInfo]) -> list[Source]:
    return [source for source, info in headers.items() if info.depth == FLOAT]


def _names(songs: Iterable[Track], parts: tuple[str, ...]) -> list[str]:
    return [song.name for song in songs if song.stems.keys() & {*parts}]


def _silent_files(songs: Iterable[Track], detector: _SoundDetector) -> list[str]:
    silent = [str(one.path) for one in _all(songs) if not detector.has_sound.get(one, True)]
    if not silent:
        return []
    return [f"{counted(len(silent), 'silent file')} to remove: {listed(silent)}"]
