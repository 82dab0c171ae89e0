"""Writes data folders from lists of paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from model_zoo.errors import DataError
from trainers.config import DataRecipe
from trainers.data.layouts.survey import inspect
from trainers.data.tracks import Source, Track

RATE = 8000
LENGTH = RATE  # samples of every file by default
STEMS = ("vocals", "drums")
FOUR = ("bass", "drums", "other", "vocals")


def write(
    root: Path, *names: str, frames: int = LENGTH, rate: int = RATE, channels: int = 2
) -> Path:
    """Write audio files of one format; braces in a name are expanded as in a shell."""
    for name in names:
        for each in _expand_braces(name):
            (root / each).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / each, np.full((frames, channels), 0.1), rate)
    return root


def recipe(**values: object) -> DataRecipe:
    """A data recipe that by default holds out no songs for validation."""
    return DataRecipe.from_dict({"validation_fraction": 0, **values})


@dataclass(frozen=True)
class Survey:
    """Findings of a data folder without problems, and their summary."""

    layout: str
    training: tuple[Track, ...]
    validation: tuple[Track, ...]
    summary: tuple[str, ...]


def survey(
    data: DataRecipe, folder: Path, stems: tuple[str, ...], validation: tuple[Path, ...] = ()
) -> Survey:
    """Check a folder by its headers; problems are an error, as when a training opens its data."""
    found = inspect(data, folder, stems, validation)
    if found.problems:
        raise DataError(str(folder), found.problems)
    return Survey(found.layout, found.training, found.validation, found.summary())


def paths(songs: tuple[Track, ...], root: Path) -> dict[str, dict[str, str]]:
    """For each song, the files of its stems, and of its mixture if it has one."""
    return {
        song.name: {
            stem: source.path.relative_to(root).as_posix()
            for stem, source in (*song.stems.items(), *_mixture(song))
        }
        for song in songs
    }


def _mixture(song: Track) -> list[tuple[str, Source]]:
    return [("mixture", song.mixture)] if song.mixture else []


def _expand_braces(name: str) -> list[str]:
    if "{" not in name:
        return [name]
    before, rest = name.split("{", 1)
    inside, after = rest.split("}", 1)
    return [
        expanded
        for part in inside.split(",")
        for expanded in _expand_braces(f"{before}{part}{after}")
    ]
