"""The layout ``stems``: a folder for each stem, whose files are mixed with any of the others."""

from __future__ import annotations

from pathlib import Path

from trainers.data.layouts.listing import MIXTURE, Listing, folders, sounds, stem_name
from trainers.data.songs import Song, Source


def read_stems(folder: Path) -> Listing:
    """Every sound file below ``vocals/``, ``drums/`` ... as a song with that one stem."""
    songs = []
    notes = []
    for place in folders(folder):
        if stem_name(place) == MIXTURE:
            notes.append(f"{place} is passed over: the layout stems makes its own mixtures")
            continue
        for path in sounds(place, recursive=True):
            name = path.relative_to(folder).with_suffix("").as_posix()
            songs.append(Song(name, {stem_name(place): Source(path)}))
    return Listing(tuple(songs), notes=tuple(notes))
