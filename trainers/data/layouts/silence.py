"""What to say of stems that are nowhere heard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trainers.data.layouts.listing import library_folders


def silent_everywhere(stems: Mapping[str, Iterable[str]], *, are_files: bool) -> list[str]:
    """Sentences about stems that are silent in all training data.

    Args:
        stems: to the names of the songs, or of the files, that have them.
        are_files: whether the data are single files in a folder for each stem, and no songs.
    """
    if not are_files:
        words = f"{', '.join(stems)} is silent in every song. Name other songs with --data"
        return [words] if stems else []
    return [
        f"every file in {' and '.join(library_folders(names))} is silent: put files there that can"
        " be heard"
        for names in stems.values()
    ]


def silent_to_validate(stems: Iterable[str], songs: Iterable[str]) -> str:
    """A sentence about songs to validate, by their names, in which no stem is heard."""
    what = ", ".join(stems) or "The mixture"
    return f"{what} is silent in {', '.join(songs)}. Name other songs with --validation DIR"
