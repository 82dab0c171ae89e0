"""Songs that ``--validation`` names: one, or a folder of them in any layout."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from model_zoo.errors import DataError
from trainers.config import DataRecipe
from trainers.data.layouts.auto import look
from trainers.data.layouts.listing import Listing, read_song, sounds
from trainers.data.layouts.table import READERS
from trainers.data.layouts.voxaug import has_libraries
from trainers.data.songs import Song

LIBRARIES = "voxaug"
WANTED = "name folders with mixture.* and one file per stem"


def names_of(recipe: DataRecipe, stems: Iterable[str] | None) -> frozenset[str]:
    """What is the name of a stem, beside the usual ones."""
    parts = (part for group in recipe.groups.values() for part in group)
    return frozenset({*(stems or ()), *parts})


def read_named(
    places: Iterable[Path], recipe: DataRecipe, stems: tuple[str, ...] | None
) -> Listing:
    """The songs of ``--validation``, and what is wrong with them.

    Of data that keep songs for validation themselves these are taken, else all.

    Args:
        places: folders of a song or of songs, or tables of them.
        recipe: of the data; libraries with odd names are known by its layout alone.
        stems: those of the network; none where it learns from mixtures alone.

    Raises:
        FfmpegMissingError: MUSDB18 needs ffmpeg and ffprobe.
        MissingExtraError: MUSDB18 needs musdb.
    """
    found = [_read(place, recipe, stems) for place in places]
    return Listing(
        validation=tuple(song for one in found for song in one.validation),
        headers={source: info for one in found for source, info in one.headers.items()},
        problems=tuple(problem for one in found for problem in one.problems),
        notes=tuple(note for one in found for note in one.notes),
    )


def _read(place: Path, recipe: DataRecipe, stems: tuple[str, ...] | None) -> Listing:
    if place.is_dir() and sounds(place):
        song, twice = read_song(place, place.name)
        return Listing(validation=(song,) if song else (), problems=tuple(twice))
    if place.is_dir() and not sounds(place, recursive=True):
        return _refused(f"{place} holds no sound: name a folder with stems")
    try:
        layout = _layout(place, recipe, stems)
    except DataError:
        return _refused(f"{place} looks like none of the layouts of songs: {WANTED}")
    return _songs_of(place, layout)


def _layout(place: Path, recipe: DataRecipe, stems: tuple[str, ...] | None) -> str:
    if recipe.layout == LIBRARIES and place.is_dir() and has_libraries(place):
        return LIBRARIES
    return look(place, names_of(recipe, stems), are_mixtures_enough=stems == ())


def _songs_of(place: Path, layout: str) -> Listing:
    reader = READERS[layout]
    if not reader.holds_songs and not reader.pair:
        return _refused(f"{place} holds single stems, which have no mixture: {WANTED}")
    try:
        listing = reader.read(place)
    except DataError as error:
        return Listing(problems=tuple(f"{place}: {problem}" for problem in error.problems))
    songs: tuple[Song, ...] = listing.validation or listing.training
    if reader.pair:
        songs = reader.pair(listing.training)
    if not songs and not listing.problems:
        return _refused(f"{place} holds no songs: {WANTED}")
    return replace(listing, training=(), validation=songs)


def _refused(problem: str) -> Listing:
    return Listing(problems=(problem,))
