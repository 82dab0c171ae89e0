"""Reader of the layout ``voxaug``: libraries of instrumentals and vocals, mixed at random.

``instrumentals/`` and ``vocals/`` contain audio files at any depth, which need not belong
together. If an instrumental has a file of the same name below ``mixture/``, that is its mixture
with its own vocals.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from model_zoo.errors import DataError, nearest
from trainers.data.layouts.listing import (
    MIXTURE,
    Listing,
    by_name,
    folders,
    listed,
    sounds,
    stem_name,
)
from trainers.data.tracks import Source, Track

INSTRUMENTAL, VOCALS = "instrumental", "vocals"
LIBRARIES: dict[str, tuple[str, ...]] = {
    INSTRUMENTAL: (
        *(INSTRUMENTAL, "instrumentals", "accompaniment", "accompaniments", "backing", "backings"),
        "music",
    ),
    VOCALS: (VOCALS, "vocal", "voice", "voices", "acapella", "acapellas"),
}
"""Accepted folder names of each library."""

PLAIN = {INSTRUMENTAL: "instrumentals", VOCALS: VOCALS}
"""Recommended folder names."""

TELLING = frozenset({INSTRUMENTAL, "instrumentals", VOCALS, "vocal"})
"""Folder names that clearly denote a library."""


def read_voxaug(folder: Path) -> Listing:
    """Read every audio file of both libraries as a song with that one stem.

    Raises:
        DataError: a library is missing or empty.
    """
    libraries = {stem: _library(folder, stem) for stem in LIBRARIES}
    lacking = [stem for stem, songs in libraries.items() if not songs]
    if lacking:
        raise DataError(str(folder), _lacks(folder, lacking))
    mixtures, problems = _mixtures(folder)
    joined = [_with_mixture(song, folder, mixtures) for song in libraries[INSTRUMENTAL]]
    problems += [
        f"{path} has no instrumental of the same name in {_called(folder, INSTRUMENTAL)}: add it,"
        " or move the mixture away"
        for path in mixtures.values()
        if path not in {song.mixture.path for song in joined if song.mixture}
    ]
    return Listing((*joined, *libraries[VOCALS]), problems=tuple(problems))


def looks_like_voxaug(folder: Path) -> bool:
    """Return whether a folder has both libraries, by clear names, and no other audio.

    A folder of mixtures is allowed, unless vocals share names with mixtures: then they are songs.
    """
    found = {stem_name(child) for child in folders(folder) if sounds(child, recursive=True)}
    plain = [child for child in folders(folder) if stem_name(child) in TELLING]
    both = all({*map(stem_name, plain)} & {*names} for names in LIBRARIES.values())
    return both and found <= {*TELLING, MIXTURE} and not _sung_in_mixtures(folder)


def has_libraries(folder: Path) -> bool:
    """Return whether there are folders for both libraries, by any accepted name."""
    return all(any(_stem_folders(folder, stem)) for stem in LIBRARIES)


def _sung_in_mixtures(folder: Path) -> bool:
    """Return whether any vocals share a name with a mixture."""
    children = [child for child in folders(folder) if stem_name(child) == MIXTURE]
    mixtures, vocals = (
        {stem_name(path) for child in each for path in sounds(child, recursive=True)}
        for each in (children, _stem_folders(folder, VOCALS))
    )
    return bool(mixtures & vocals)


def pair_up(held: tuple[Track, ...]) -> tuple[Track, ...]:
    """Build one validation song per instrumental, each with the next vocals."""
    instrumentals, vocals = (
        sorted((song for song in held if stem in song.stems), key=lambda song: song.name)
        for stem in LIBRARIES
    )
    if not vocals:
        return ()
    return tuple(
        _made(song, vocals[number % len(vocals)]) for number, song in enumerate(instrumentals)
    )


def _made(instrumental: Track, vocals: Track) -> Track:
    name = f"{instrumental.name} + {vocals.name}"
    return Track(name, {**instrumental.stems, **vocals.stems}, is_made=True)


def _library(folder: Path, stem: str) -> list[Track]:
    return [
        Track(path.relative_to(folder).with_suffix("").as_posix(), {stem: Source(path)})
        for child in _stem_folders(folder, stem)
        for path in sounds(child, recursive=True)
    ]


def _stem_folders(folder: Path, stem: str) -> Iterator[Path]:
    return (child for child in folders(folder) if stem_name(child) in LIBRARIES[stem])


def _lacks(folder: Path, stems: list[str]) -> list[str]:
    """Report empty and missing libraries, one sentence per empty one and one for all missing."""
    absent = [stem for stem in stems if not any(_stem_folders(folder, stem))]
    empty = [
        f"{_called(folder, stem)} contains no audio: put {PLAIN[stem]} there, at any depth"
        for stem in stems
        if stem not in absent
    ]
    return [*empty, *([_absent(folder, absent)] if absent else [])]


def _absent(folder: Path, stems: list[str]) -> str:
    names = [child.name for child in folders(folder)]
    required = " and ".join(f"{PLAIN[stem]}/" for stem in stems)
    there = listed(f"{name}/" for name in names) or "no folders"
    near = {PLAIN[stem]: nearest(PLAIN[stem], names) for stem in stems}
    steps = [f"rename {old}/ to {new}/" if old else f"add {new}/" for new, old in near.items()]
    other = "" if any(near.values()) else ", or use --layout auto for songs in folders"
    return f"the layout voxaug needs {required}, found {there}: {' and '.join(steps)}{other}"


def _called(folder: Path, stem: str) -> str:
    """Return the actual folder names of a library."""
    return listed(f"{child.name}/" for child in _stem_folders(folder, stem))


def _mixtures(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return mixtures by the names of their instrumentals."""
    named: dict[str, Path] = {}
    problems: list[str] = []
    for child in folders(folder):
        if stem_name(child) == MIXTURE:
            found, twice = by_name(sounds(child, recursive=True), child)
            named |= found
            problems += twice
    return named, problems


def _with_mixture(song: Track, folder: Path, mixtures: dict[str, Path]) -> Track:
    _, _, name = song.name.partition("/")
    if name not in mixtures:
        return song
    return Track(song.name, song.stems, Source(mixtures[name]))
