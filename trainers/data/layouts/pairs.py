"""The layout ``pairs``: ``mixture/`` and a folder for each target, with files of the same names.

What the targets leave of a mixture belongs to nobody.
"""

from __future__ import annotations

from pathlib import Path

from trainers.data.layouts.listing import MIXTURE, Listing, by_name, folders, sounds, stem_name
from trainers.data.layouts.voxaug import has_libraries
from trainers.data.songs import Song, Source

AS_LIBRARIES = "--layout voxaug, which mixes any vocals with any instrumental"


def read_pairs(folder: Path) -> Listing:
    """A song for every file below ``mixture/``; sub-folders belong to the names."""
    named: dict[str, dict[str, Path]] = {}
    problems: list[str] = []
    for place in folders(folder):
        named[stem_name(place)], twice = by_name(sounds(place, recursive=True), place)
        problems += twice
    mixtures = named.pop(MIXTURE, {})
    way = f": add it, or type {AS_LIBRARIES}" if has_libraries(folder) else ""
    songs = [_song(name, path, named) for name, path in mixtures.items()]
    for targets in named.values():
        alone = [path for name, path in targets.items() if name not in mixtures]
        problems += [f"{path} has no mixture of the same name in {MIXTURE}/{way}" for path in alone]
    return Listing(tuple(songs), problems=tuple(problems))


def _song(name: str, mixture: Path, named: dict[str, dict[str, Path]]) -> Song:
    stems = {stem: Source(files[name]) for stem, files in named.items() if name in files}
    return Song(name, stems, Source(mixture))
