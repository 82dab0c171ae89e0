"""The folder of an evaluation: scores, and excerpts that people can listen to.

::

    excerpts/SONG/truth/STEM.flac    the true stems, and mixture.flac
    excerpts/SONG/by/METHOD/STEM.flac

Beside the sounds in each folder lies what they are of: a report leaves out those that belong to
other scores than its own.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import soundfile
import torch

from model_zoo.errors import OutputError, UsageError
from trainers.data.multitrack import loudest
from trainers.data.recording import read_wave
from trainers.evaluation.methods import Method, MixtureMethod
from trainers.evaluation.scoring import Wave, Waves, canonical
from trainers.evaluation.tracks import EvaluationTrack, TrackAudio

SUBSET = "test"
"""Folder of the scores of a method: museval looks for files of scores in this one alone."""

EXCERPTS = "excerpts"
SUMMARY, SONGS, REPORT = FILES = ("summary.json", "songs.csv", "report.html")
ENDING = ".json"


class ResultsFolder:
    """The folder of an evaluation: ``METHOD/test/SONG.json``, and ``excerpts`` beside the methods.

    Args:
        root: the folder.
        methods: names of the methods.
        songs: names of the songs.

    Raises:
        UsageError: a name is no name of a file, is there twice, or the folder holds other songs.
        OutputError: the folder cannot be written.
    """

    def __init__(self, root: Path, methods: Iterable[str], songs: Iterable[str]) -> None:
        self.root = root
        names = _require_names("methods", methods)
        taken = names & {EXCERPTS, *FILES}
        if taken:
            raise UsageError(
                f"No method can be called {taken.pop()}, which the scores need: rename it"
            )
        files = _require_names("songs", map(file_name, songs))
        self._refuse_others(methods, files)
        _require_writable(root)

    def scores(self, method: str, song: str) -> Path:
        """The file of the scores of a song by a method."""
        return self.root / method / SUBSET / f"{file_name(song)}{ENDING}"

    def piece(self, song: str) -> Path:
        """The folder of the excerpt of a song."""
        return self.root / EXCERPTS / file_name(song)

    def _refuse_others(self, methods: Iterable[str], songs: set[str]) -> None:
        """Files of other songs would be summed up with ours by whoever reads the folder."""
        for method in methods:
            found = sorted((self.root / method / SUBSET).glob(f"*{ENDING}"))
            others = [file for file in found if file.stem not in songs]
            if others:
                more = f" and {len(others) - 1} more" if len(others) > 1 else ""
                raise UsageError(
                    f"{self.root} holds scores of other songs ({others[0].stem}{more}):"
                    " type --output with another folder, or remove that one"
                )


def require_outside(output: Path, *inputs: Path) -> None:
    """Scores among songs would be taken for songs the next time.

    Raises:
        UsageError: the output is in a folder of songs.
    """
    for folder in inputs:
        if output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{output} is in {folder}, where the songs are: type another --output")


def _require_writable(root: Path) -> None:
    """Before anything is measured."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise OutputError(f"Cannot write to {root} ({error.strerror or error}).") from error


def file_name(song: str) -> str:
    """The name of a song without folders, so that museval knows songs in sub-folders apart."""
    return song.replace("/", "__").replace(os.sep, "__")


def _require_names(kind: str, names: Iterable[str]) -> set[str]:
    counts = Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise UsageError(f"Two {kind} are called {twice[0]}: rename or leave out one of them")
    odd = [name for name in counts if name in ("", ".", "..") or Path(name).name != name]
    if odd:
        raise UsageError(f"{odd[0]!r} cannot be the name of a folder: rename it")
    return {*counts}


SECONDS = 6.0
"""Of an excerpt: long enough to know a song by, short enough for many of them on a page."""

FACTS, MIXTURE, TRUTH, BY = "facts.json", "mixture", "truth", "by"


@dataclass(frozen=True)
class Excerpt:
    """A piece of a song, as it can be heard.

    Attributes:
        song: its name.
        start: where the piece begins, in seconds.
        sample_rate: in Hz.
        truth: the true stems by name, and ``mixture``.
        estimates: of each method, by the names of the true stems.
    """

    song: str
    start: float
    sample_rate: int
    truth: Waves
    estimates: Mapping[str, Waves]


class Excerpts:
    """The pieces of an evaluation, on disk.

    Args:
        shelf: where the evaluation lies.
        songs: names of those that pieces are kept of.
    """

    def __init__(self, shelf: ResultsFolder, songs: Sequence[str]) -> None:
        self._shelf = shelf
        self._lock = threading.Lock()
        self.songs = songs

    def is_missing(
        self, method: Method, track: EvaluationTrack, provenance: Mapping[str, Any]
    ) -> bool:
        """Whether a piece of such estimates should be there and is not."""
        facts = _facts(self._place(track.name, method.name))
        return self._wants(method, track) and facts.get("provenance") != provenance

    def keep(
        self,
        method: Method,
        track: EvaluationTrack,
        sound: TrackAudio,
        estimates: Waves,
        provenance: Mapping[str, Any],
    ) -> None:
        """Write those of a song, if they are wanted.

        Args:
            method: whose they are.
            track: the song.
            sound: the same in memory.
            estimates: of the whole song.
            provenance: all that decides the estimates, as plain values.

        Raises:
            OutputError: they cannot be written.
        """
        if not self._wants(method, track):
            return
        rate = sound.sample_rate
        piece = loudest(sound.references.values(), round(SECONDS * rate), step=rate)
        named = {canonical(name): wave for name, wave in estimates.items()}
        names = [name for name in sound.references if canonical(name) in named]
        made = {name: named[canonical(name)] for name in names}
        facts = {"song": dict(track.stamp), "start": piece.start / sound.sample_rate}
        truth = self._shelf.piece(track.name) / TRUTH
        with self._lock:
            if _facts(truth) != facts:
                _write(truth, {MIXTURE: sound.mixture, **sound.references}, piece, sound, facts)
        place = self._place(track.name, method.name)
        _write(place, made, piece, sound, {"provenance": dict(provenance)})

    def load(self, song: str, provenance: Mapping[str, Mapping[str, Any]]) -> Excerpt | None:
        """What is kept of a song; None where nothing is.

        Args:
            song: its name.
            provenance: of each method with scores of the song, all that decided them. Pieces that
                were made otherwise are left out.

        Raises:
            DecodeError: a file cannot be read.
        """
        truth = self._shelf.piece(song) / TRUTH
        facts = _facts(truth)
        places = {method: self._place(song, method) for method in provenance}
        kept = [
            name for name in places if _facts(places[name]).get("provenance") == provenance[name]
        ]
        if not (facts and kept):
            return None
        waves, rate = _read(truth)
        made = {method: _read(places[method])[0] for method in kept}
        return Excerpt(song, facts["start"], rate, waves, made)

    def _wants(self, method: Method, track: EvaluationTrack) -> bool:
        """The mixture itself lies among the true sounds."""
        return track.name in self.songs and not isinstance(method, MixtureMethod)

    def _place(self, song: str, method: str) -> Path:
        return self._shelf.piece(song) / BY / method


def spread(names: Sequence[str], count: int) -> list[str]:
    """So many names from all over a list, its first and last among them."""
    if count >= len(names):
        return list(names)
    steps = max(count - 1, 1)
    return [names[round(number * (len(names) - 1) / steps)] for number in range(count)]


def _write(
    folder: Path,
    waves: Mapping[str, Wave],
    piece: range,
    sound: TrackAudio,
    facts: Mapping[str, Any],
) -> None:
    """All files, or none; of more than two channels the first two, which players have."""
    parts = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        for name, wave in waves.items():
            samples = wave[:2, piece.start : piece.stop].clamp(-1, 1).T.numpy()
            soundfile.write(parts / f"{name}.flac", samples, sound.sample_rate, subtype="PCM_16")
        (parts / FACTS).write_text(json.dumps(facts), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        parts.rename(folder)
    except (OSError, soundfile.LibsndfileError) as error:
        shutil.rmtree(parts, ignore_errors=True)
        raise OutputError(f"Cannot write to {folder} ({error}).") from error


def _facts(folder: Path) -> dict[str, Any]:
    """What is told of a piece; nothing where none is whole."""
    try:
        told = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _read(folder: Path) -> tuple[dict[str, Wave], int]:
    waves, rate = {}, 0
    for file in sorted(folder.glob("*.flac")):
        wave, rate = read_wave(file)
        waves[file.stem] = torch.from_numpy(wave.copy())
    return waves, rate
