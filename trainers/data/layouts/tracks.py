"""The layout ``tracks``: a folder for each song, with one sound file for each stem.

Songs may lie below ``train/``, ``valid/`` (or ``validation/``) and ``test/``: this says what is
done with them.
"""

from __future__ import annotations

from pathlib import Path

from trainers.data.layouts.listing import Listing, counted, folders, listed, read_song, sounds
from trainers.data.songs import Song

TRAINING = "train"
VALIDATION = ("valid", "validation", "test")
"""The first of these that has songs is validated on; the others are left alone."""


def read_tracks(folder: Path) -> Listing:
    """Songs in ``folder`` itself and below its parts."""
    parts = {part.name: part for part in folders(folder) if is_part(part)}
    reader = _Reader()
    training = reader.songs([path for path in folders(folder) if path.name not in parts])
    if TRAINING in parts:
        training += reader.songs(folders(parts[TRAINING]))
    named = [parts[name] for name in VALIDATION if name in parts]
    validation = reader.songs(folders(named[0])) if named else []
    notes = [
        f"{counted(len(folders(part)), 'song')} below {part} {_are(part)} not used"
        for part in named[1:]
    ]
    notes += [*reader.notes(), *_loose(folder, training)]
    return Listing(
        tuple(training), tuple(validation), problems=tuple(reader.problems), notes=tuple(notes)
    )


def is_part(folder: Path) -> bool:
    """Whether a folder holds songs for training, validation or tests, and is no song itself."""
    is_named = folder.name in (TRAINING, *VALIDATION)
    return is_named and not sounds(folder) and any(sounds(song) for song in folders(folder))


class _Reader:
    """Reads songs and keeps what was odd about them."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.silent: list[str] = []

    def songs(self, paths: list[Path]) -> list[Song]:
        found = []
        for path in paths:
            song, problems = read_song(path, path.name)
            self.problems += problems
            if song:
                found.append(song)
            else:
                self.silent.append(path.name)
        return found

    def notes(self) -> list[str]:
        if not self.silent:
            return []
        what = counted(len(self.silent), "folder")
        return [f"{what} without sound files passed over: {listed(self.silent)}"]


def _are(part: Path) -> str:
    return "is" if len(folders(part)) == 1 else "are"


def _loose(folder: Path, songs: list[Song]) -> list[str]:
    loose = [path.name for path in sounds(folder)]
    if not loose or not songs:
        return []
    return [f"{counted(len(loose), 'sound file')} beside the songs passed over: {listed(loose)}"]
