"""Short pieces of some songs and of their estimates, kept so that people can hear and see them.

::

    excerpts/SONG/excerpt.json       where the piece lies in the song
    excerpts/SONG/truth/STEM.flac    the true stems, and mixture.flac
    excerpts/SONG/by/METHOD/STEM.flac
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch

from model_zoo.errors import OutputError
from model_zoo.files import staged
from trainers.data.files import read_wave
from trainers.evaluation.judge import Wave, Waves, canonical
from trainers.evaluation.methods import Method
from trainers.evaluation.shelf import Shelf
from trainers.evaluation.tracks import Sound, Track

SECONDS = 6.0
"""Of an excerpt: long enough to know a song by, short enough for many of them on a page."""

FACTS, MIXTURE, TRUTH, BY = "excerpt.json", "mixture", "truth", "by"


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

    def __init__(self, shelf: Shelf, songs: Sequence[str]) -> None:
        self._shelf = shelf
        self._lock = threading.Lock()
        self.songs = songs

    def is_missing(self, method: Method, track: Track) -> bool:
        """Whether a piece should be there by this method and is not."""
        place = self._shelf.piece(track.name) / BY / method.name
        return track.name in self.songs and method.name != MIXTURE and not place.is_dir()

    def keep(self, method: Method, track: Track, sound: Sound, estimates: Waves) -> None:
        """Write those of a song, if they are wanted; the mixture is one of the true sounds.

        Raises:
            OutputError: they cannot be written.
        """
        if track.name not in self.songs or method.name == MIXTURE:
            return
        folder = self._shelf.piece(track.name)
        piece = loudest(sound.references.values(), sound.sample_rate)
        named = {canonical(name): wave for name, wave in estimates.items()}
        names = [name for name in sound.references if canonical(name) in named]
        made = {name: named[canonical(name)] for name in names}
        try:
            with self._lock:
                _write(folder / TRUTH, {MIXTURE: sound.mixture, **sound.references}, piece, sound)
                _write(folder / BY / method.name, made, piece, sound)
        except OSError as error:
            raise OutputError(f"Cannot write to {folder} ({error.strerror or error})") from error
        with staged(folder / FACTS) as place:
            place.write_text(json.dumps({"start": piece.start / sound.sample_rate}), "utf-8")

    def load(self, song: str, methods: Iterable[str]) -> Excerpt | None:
        """What is kept of a song; None where nothing is.

        Raises:
            DecodeError: a file cannot be read.
        """
        folder = self._shelf.piece(song)
        if not (folder / FACTS).is_file():
            return None
        start = json.loads((folder / FACTS).read_text("utf-8"))["start"]
        truth, rate = _read(folder / TRUTH)
        kept = [method for method in methods if (folder / BY / method).is_dir()]
        made = {method: _read(folder / BY / method)[0] for method in kept}
        return Excerpt(song, start, rate, truth, made)


def spread(names: Sequence[str], count: int) -> list[str]:
    """So many names from all over a list, its first and last among them."""
    if count >= len(names):
        return list(names)
    steps = max(count - 1, 1)
    return [names[round(number * (len(names) - 1) / steps)] for number in range(count)]


def loudest(stems: Iterable[Wave], sample_rate: int) -> range:
    """Samples of the piece in which all stems sound most: the largest product of their energies."""
    length = round(SECONDS * sample_rate)
    energies = torch.stack([stem.double().square().sum(0) for stem in stems])
    blocks = energies[:, : energies.shape[1] // sample_rate * sample_rate]
    if blocks.shape[1] <= length:
        return range(min(length, energies.shape[1]))
    seconds = blocks.reshape(len(blocks), -1, sample_rate).sum(-1)
    sums = seconds.unfold(1, round(SECONDS), 1).sum(-1)
    start = int((sums + 1e-6).log().sum(0).argmax()) * sample_rate
    return range(start, start + length)


def _write(folder: Path, waves: Mapping[str, Wave], piece: range, sound: Sound) -> None:
    """All files, or none; of more than two channels the first two, which players have."""
    parts = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    for name, wave in waves.items():
        samples = wave[:2, piece.start : piece.stop].clamp(-1, 1).T.numpy()
        soundfile.write(parts / f"{name}.flac", samples, sound.sample_rate, subtype="PCM_16")
    shutil.rmtree(folder, ignore_errors=True)
    parts.rename(folder)


def _read(folder: Path) -> tuple[dict[str, Wave], int]:
    waves, rate = {}, 0
    for file in sorted(folder.glob("*.flac")):
        wave, rate = read_wave(file)
        waves[file.stem] = torch.from_numpy(wave.copy())
    return waves, rate
