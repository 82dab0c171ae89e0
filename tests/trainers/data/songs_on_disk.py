"""Data folders for tests, written from a list of paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from trainers.config import DataRecipe
from trainers.data.tracks import Source, Track

RATE = 8000
LENGTH = RATE  # samples of every file, where nothing else is said
STEMS = ("vocals", "drums")
FOUR = ("bass", "drums", "other", "vocals")


def write(
    root: Path, *names: str, frames: int = LENGTH, rate: int = RATE, channels: int = 2
) -> Path:
    """Sound files of one kind; braces in a name give one file each, as in a shell."""
    for name in names:
        for each in _spread(name):
            (root / each).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(root / each, np.full((frames, channels), 0.1), rate)
    return root


def recipe(**values: object) -> DataRecipe:
    """A recipe that holds nothing out unless told to."""
    return DataRecipe.from_dict({"validation_fraction": 0, **values})


def paths(songs: tuple[Track, ...], root: Path) -> dict[str, dict[str, str]]:
    """For each song the files of its stems, and of its mixture if it has one."""
    return {
        song.name: {
            stem: source.path.relative_to(root).as_posix()
            for stem, source in (*song.stems.items(), *_mixture(song))
        }
        for song in songs
    }


def _mixture(song: Track) -> list[tuple[str, Source]]:
    return [("mixture", song.mixture)] if song.mixture else []


def _spread(name: str) -> list[str]:
    if "{" not in name:
        return [name]
    before, rest = name.split("{", 1)
    inside, after = rest.split("}", 1)
    return [whole for part in inside.split(",") for whole in _spread(f"{before}{part}{after}")]
