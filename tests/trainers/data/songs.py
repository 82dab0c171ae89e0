"""Synthetic songs whose samples encode their position, song and stem."""

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
"""Lengths of the four songs, which hold 4, 6, 1 and 2 clips of half a second."""

STEP = 2**-15
"""One quantization step of 16 bits."""


def coded_wave(song: int, stem: int, frames: int) -> np.ndarray:
    """A stereo wave with the sample number on the left, and song and stem on the right.

    Both are in quantization steps of 16 bits, the sample number modulo 30000.
    """
    wave = np.empty((frames, 2))
    wave[:, 0] = np.arange(frames) % 30_000
    wave[:, 1] = 1000 * (song + 1) + 100 * (stem + 1)
    return wave * STEP


def write_songs(
    folder: Path, seconds: Sequence[float] = SECONDS, stems: Sequence[str] = STEMS
) -> tuple[Track, ...]:
    """Write a folder for each song, with a file for each stem."""
    songs = []
    for number, length in enumerate(seconds):
        song_folder = folder / f"song{number}"
        song_folder.mkdir(parents=True)
        for stem, name in enumerate(stems):
            soundfile.write(
                song_folder / f"{name}.wav", coded_wave(number, stem, round(length * RATE)), RATE
            )
        songs.append(
            Track(song_folder.name, {name: Source(song_folder / f"{name}.wav") for name in stems})
        )
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
    """The recipe with these values for ``data``, and without voices."""
    plain = recipe.to_dict()["data"] | {"voices": {}, "layout": "auto"} | values
    return replace(recipe, data=type(recipe.data).from_dict(plain))


def with_augmentation(recipe: Recipe, **values: Mapping[str, object]) -> Recipe:
    data = replace(recipe.data, augmentation=AugmentationRecipe.from_dict(values))
    return replace(recipe, data=data)


def decode_position(clip: Tensor) -> tuple[int, int, int]:
    """Start, song and stem of a clip of one unchanged stem, read from its first sample."""
    left, right = (round(float(side[0]) / STEP) for side in clip)
    return left, right // 1000 - 1, right % 1000 // 100 - 1
