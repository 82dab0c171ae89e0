"""Songs made by formula, so that a clip tells where it was cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from torch import Tensor

from tests.trainers.commands import RATE
from trainers.config import AugmentationRecipe, Recipe
from trainers.data.clips import ClipPlan
from trainers.data.mixing import SongClips, SongMixes
from trainers.data.multitrack import open_tracks
from trainers.data.tracks import Source, Track

STEMS = ("bass", "drums", "vocals")
SECONDS = (2.0, 3.1, 0.7, 1.0)
"""Lengths of the four songs: 4, 6, 1 and 2 clips of half a second."""

STEP = 2**-15
"""One step of 16 bits."""


def counted(song: int, stem: int, frames: int) -> np.ndarray:
    """Stereo: on the left which sample this is, on the right which stem of which song.

    Both in whole steps of 16 bits, the sample modulo 30000.
    """
    wave = np.empty((frames, 2))
    wave[:, 0] = np.arange(frames) % 30_000
    wave[:, 1] = 1000 * (song + 1) + 100 * (stem + 1)
    return wave * STEP


def write_songs(
    folder: Path, seconds: Sequence[float] = SECONDS, stems: Sequence[str] = STEMS
) -> tuple[Track, ...]:
    """A folder for each song with a file for each stem."""
    songs = []
    for number, length in enumerate(seconds):
        place = folder / f"song{number}"
        place.mkdir(parents=True)
        for stem, name in enumerate(stems):
            soundfile.write(
                place / f"{name}.wav", counted(number, stem, round(length * RATE)), RATE
            )
        songs.append(Track(place.name, {name: Source(place / f"{name}.wav") for name in stems}))
    return tuple(songs)


def clips_of(
    songs: Sequence[Track],
    recipe: Recipe,
    stems: tuple[str, ...] = STEMS,
    kind: type[SongClips] = SongMixes,
    seed: int = 5,
    *,
    needs_peak_level: bool = False,
) -> SongClips:
    plan = ClipPlan.of(recipe, RATE)
    opened = open_tracks(songs, RATE)
    return kind(opened, recipe.data, stems, plan, RATE, seed, needs_peak_level=needs_peak_level)


def with_data(recipe: Recipe, **values: object) -> Recipe:
    """The recipe with other values below ``data``, and without voices."""
    plain = recipe.to_dict()["data"] | {"voices": {}, "layout": "auto"} | values
    return replace(recipe, data=type(recipe.data).from_dict(plain))


def with_augmentation(recipe: Recipe, **values: Mapping[str, object]) -> Recipe:
    data = replace(recipe.data, augmentation=AugmentationRecipe.from_dict(values))
    return replace(recipe, data=data)


def place(clip: Tensor) -> tuple[int, int, int]:
    """Start, song and stem of a clip of one stem as it was written, of its first sample."""
    left, right = (round(float(side[0]) / STEP) for side in clip)
    return left, right // 1000 - 1, right % 1000 // 100 - 1
