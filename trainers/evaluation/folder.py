"""Output folder of an evaluation, with scores and audio excerpts.

::

    excerpts/SONG/truth/STEM.flac    the true stems, and mixture.flac
    excerpts/SONG/by/METHOD/STEM.flac

A file in each excerpt folder describes its origin: reports skip excerpts that do not belong to
their scores.
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
"""Folder of a method's scores, the only one in which museval looks for score files."""

EXCERPTS = "excerpts"
SUMMARY, SONGS, REPORT = FILES = ("summary.json", "songs.csv", "report.html")
ENDING = ".json"


class ResultsFolder:
    """Output folder: ``METHOD/test/SONG.json``, and ``excerpts`` next to the methods.

    Args:
        root: the folder.
        methods: names of the methods.
        songs: names of the songs.

    Raises:
        UsageError: a name is not a valid file name or occurs twice, or the folder has other songs.
        OutputError: the folder cannot be written.
    """

    def __init__(self, root: Path, methods: Iterable[str], songs: Iterable[str]) -> None:
        self.root = root
        names = _require_names("methods", methods)
        taken = names & {EXCERPTS, *FILES}
        if taken:
            raise UsageError(
                f"No method can be called {taken.pop()}, a name that the results use. Rename it"
            )
        files = _require_names("songs", map(file_name, songs))
        self._refuse_others(methods, files)
        _require_writable(root)

    def scores(self, method: str, song: str) -> Path:
        """Return the score file of a song and method."""
        return self.root / method / SUBSET / f"{file_name(song)}{ENDING}"

    def piece(self, song: str) -> Path:
        """Return the folder of a song's excerpt."""
        return self.root / EXCERPTS / file_name(song)

    def _refuse_others(self, methods: Iterable[str], songs: set[str]) -> None:
        """Refuse a folder with scores of other songs, which museval would mix with the new ones."""
        for method in methods:
            found = sorted((self.root / method / SUBSET).glob(f"*{ENDING}"))
            others = [file for file in found if file.stem not in songs]
            if others:
                more = f" and {len(others) - 1} more" if len(others) > 1 else ""
                raise UsageError(
                    f"{self.root} has scores of other songs ({others[0].stem}{more})."
                    " Use another --output, or delete that folder"
                )


def require_outside(output: Path, *inputs: Path) -> None:
    """Refuse an output folder inside a folder of songs, where it would be read as songs later.

    Raises:
        UsageError: the output is in a folder of songs.
    """
    for folder in inputs:
        if output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{output} is in {folder}, among the songs. Use another --output")


def _require_writable(root: Path) -> None:
    """Check that the folder is writable, before the evaluation."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise OutputError(f"Cannot write to {root} ({error.strerror or error}).") from error


def file_name(song: str) -> str:
    """Return a song's name without slashes, so that museval distinguishes songs in sub-folders."""
    return song.replace("/", "__").replace(os.sep, "__")


def _require_names(kind: str, names: Iterable[str]) -> set[str]:
    counts = Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise UsageError(f"Two {kind} are called {twice[0]}: rename or remove one of them")
    odd = [name for name in counts if name in ("", ".", "..") or Path(name).name != name]
    if odd:
        raise UsageError(f"{odd[0]!r} is not a valid folder name. Rename it")
    return {*counts}


SECONDS = 6.0
"""Duration of an excerpt in seconds: recognizable, yet small enough for many on one page."""

FACTS, MIXTURE, TRUTH, BY = "facts.json", "mixture", "truth", "by"


@dataclass(frozen=True)
class Excerpt:
    """Audio excerpt of a song.

    Attributes:
        song: name of the song.
        start: start of the excerpt, in seconds.
        sample_rate: sample rate in Hz.
        truth: true stems by name, and ``mixture``.
        estimates: estimates of each method, by true stem.
    """

    song: str
    start: float
    sample_rate: int
    truth: Waves
    estimates: Mapping[str, Waves]


class Excerpts:
    """Excerpts of an evaluation, on disk.

    Args:
        folder: output folder of the evaluation.
        songs: names of the songs to store excerpts of.
    """

    def __init__(self, folder: ResultsFolder, songs: Sequence[str]) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self.songs = songs

    def is_missing(
        self, method: Method, track: EvaluationTrack, provenance: Mapping[str, Any]
    ) -> bool:
        """Return whether an excerpt of such estimates is needed but does not exist."""
        facts = _facts(self._path(track.name, method.name))
        return self._wants(method, track) and facts.get("provenance") != provenance

    def keep(
        self,
        method: Method,
        track: EvaluationTrack,
        sound: TrackAudio,
        estimates: Waves,
        provenance: Mapping[str, Any],
    ) -> None:
        """Write the excerpts of a song, if they are needed.

        Args:
            method: method of the estimates.
            track: the song.
            sound: its audio.
            estimates: estimates of the whole song.
            provenance: all inputs and settings behind the estimates, as plain values.

        Raises:
            OutputError: a file cannot be written.
        """
        if not self._wants(method, track):
            return
        rate = sound.sample_rate
        piece = loudest(sound.references.values(), round(SECONDS * rate), step=rate)
        named = {canonical(name): wave for name, wave in estimates.items()}
        names = [name for name in sound.references if canonical(name) in named]
        made = {name: named[canonical(name)] for name in names}
        facts = {"song": dict(track.stamp), "start": piece.start / sound.sample_rate}
        truth = self._folder.piece(track.name) / TRUTH
        with self._lock:
            if _facts(truth) != facts:
                _write(truth, {MIXTURE: sound.mixture, **sound.references}, piece, sound, facts)
        path = self._path(track.name, method.name)
        _write(path, made, piece, sound, {"provenance": dict(provenance)})

    def load(self, song: str, provenance: Mapping[str, Mapping[str, Any]]) -> Excerpt | None:
        """Load the excerpt of a song; None if there is none.

        Args:
            song: name of the song.
            provenance: provenance of each method's scores of the song; excerpts of another
                provenance are skipped.

        Raises:
            DecodeError: a file cannot be read.
        """
        truth = self._folder.piece(song) / TRUTH
        facts = _facts(truth)
        paths = {method: self._path(song, method) for method in provenance}
        kept = [name for name in paths if _facts(paths[name]).get("provenance") == provenance[name]]
        if not (facts and kept):
            return None
        waves, rate = _read(truth)
        made = {method: _read(paths[method])[0] for method in kept}
        return Excerpt(song, facts["start"], rate, waves, made)

    def _wants(self, method: Method, track: EvaluationTrack) -> bool:
        """Return whether an excerpt is needed; the mixture itself is stored with the true stems."""
        return track.name in self.songs and not isinstance(method, MixtureMethod)

    def _path(self, song: str, method: str) -> Path:
        return self._folder.piece(song) / BY / method


def spread(names: Sequence[str], count: int) -> list[str]:
    """Choose ``count`` names evenly from a list, including the first and last."""
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
    """Write all files or none, with at most two channels, which all players support."""
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
    """Read the description of an excerpt; empty if the excerpt is missing or incomplete."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _read(folder: Path) -> tuple[dict[str, Wave], int]:
    waves, rate = {}, 0
    for file in sorted(folder.glob("*.flac")):
        wave, rate = read_wave(file)
        waves[file.stem] = torch.from_numpy(wave.copy())
    return waves, rate
