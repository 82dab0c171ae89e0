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
    """Sentences about stems that are silent in all training data.

    Args:
        stems: to the names of the songs, or of the files, that have them.
        are_files: whether the data are single files in a folder for each stem, and no songs.
    """
    if not are_files:
        words = f"{', '.join(stems)} is silent in every song. Name other songs with --data"
        return [words] if stems else []
    return [
        f"every file in {' and '.join(library_folders(names))} is silent: put files there that can"
        " be heard"
        for names in stems.values()
    ]


def silent_to_validate(stems: Iterable[str], songs: Iterable[str]) -> str:
    """A sentence about songs to validate, by their names, in which no stem is heard."""
    what = ", ".join(stems) or "The mixture"
    return f"{what} is silent in {', '.join(songs)}. Name other songs with --validation DIR"


FLOAT = "32f"
"""Depth of files that can hold what is no number."""


def listen(found: Findings, stems: tuple[str, ...] | None, groups: Groups) -> Findings:
    """Add what would make a training fail although all headers are right.

    Files of floating point are read to their end; others up to the first sound: all single files,
    and of songs as many as it takes to find one in which a stem is heard.

    Args:
        found: by the headers.
        stems: those of the network; None where they are not known, which needs all that there are.
        groups: stems of the network that are sums of stems of the data.
    """
    reader = READERS.get(found.layout)
    if reader is None:
        return found
    ear, are_files = _Ear(found.headers), not reader.holds_songs
    ear.hear(_all(found.songs) if are_files else _floats(found.headers))
    wanted = tuple(found.stems) if stems is None or are_files else stems
    silent = _silent_stems(found.training, wanted, groups, ear)
    problems = silent_everywhere(silent, are_files=are_files)
    judged = [parts_of(stem, groups) for stem in stems or ()] if found.validation else []
    if judged and not any(ear.hears_any(found.validation, parts) for parts in judged):
        names = [song.name for song in found.validation]
        problems.append(silent_to_validate(stems or (), names))
    return replace(
        found,
        problems=tuple(dict.fromkeys((*found.problems, *ear.problems, *problems))),
        notes=(*found.notes, *(_silent_files(found.songs, ear) if are_files else ())),
    )


def _silent_stems(
    songs: tuple[Track, ...], stems: tuple[str, ...], groups: Groups, ear: _Ear
) -> dict[str, list[str]]:
    """Stems that some songs have and none is heard in, and the names of these songs."""
    having = {stem: _names(songs, parts_of(stem, groups)) for stem in stems}
    return {
        stem: names
        for stem, names in having.items()
        if names and not ear.hears_any(songs, parts_of(stem, groups))
    }


class _Ear:
    """Listens to each file once.

    Attributes:
        heard: whether there is something to hear, as far as it is known.
        problems: files that turned out to be unreadable; they count as heard.
    """

    def __init__(self, headers: Mapping[Source, AudioInfo]) -> None:
        self._headers = headers
        self.heard: dict[Source, bool] = {}
        self.problems: list[str] = []

    def hear(self, sources: Iterable[Source]) -> None:
        """Listen to files, several at once; those without a header are passed over."""
        unheard = [one for one in sources if one in self._headers and one not in self.heard]
        with decoding_pool(THREADS) as pool:
            found = list(pool.map(lambda source: _hear(self._headers[source], source), unheard))
        self.problems += [one for one in found if isinstance(one, str)]
        self.heard |= {source: bool(one) for source, one in zip(unheard, found, strict=True)}

    def hears_any(self, songs: Iterable[Track], parts: Iterable[str]) -> bool:
        """Whether any of these parts is heard in any song; a file that is unknown may be."""
        for song in songs:
            for source in (song.stems[part] for part in parts if part in song.stems):
                self.hear([source])
                if self.heard.get(source, True):
                    return True
        return False


def _hear(info: AudioInfo, source: Source) -> bool | str:
    """Whether there is anything to hear, or what is wrong with the file."""
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


def _silent_files(songs: Iterable[Track], ear: _Ear) -> list[str]:
    silent = [str(one.path) for one in _all(songs) if not ear.heard.get(one, True)]
    if not silent:
        return []
    return [f"{counted(len(silent), 'silent file')}, to be left out: {listed(silent)}"]
