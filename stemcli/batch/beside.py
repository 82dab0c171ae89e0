"""Stems that lie beside the songs they were made from, as after ``stem batch DIR --output DIR``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stemcli.batch.journal import Journal
from stemcli.batch.url_path import UrlPath, folded, is_there, real


class StemsBeside:
    """Knows which files below the folders of a walk are stems, from the journals in these folders.

    A folder with a journal holds stems alone, or songs as well. Of the latter kind only the stems
    are no songs.
    """

    def __init__(self) -> None:
        self._stems: set[str] = set()

    def read(self, folder: Path) -> bool:
        """Read the journal of a folder; whether some of its songs lie in that folder too.

        Raises:
            OutputError: the journal cannot be read, is damaged or was written by another version of
                Stem.
        """
        with Journal(folder, read_only=True) as journal:
            stems = {_key(path) for path in journal.stems()}
            is_mixed = _has_songs(folder, journal.songs(), stems)
        if is_mixed:
            self._stems |= stems
        return is_mixed

    def holds(self, path: Path) -> bool:
        """Whether a file is one of those stems."""
        return bool(self._stems) and _key(path) in self._stems


def _has_songs(folder: Path, songs: Iterable[tuple[Path, Path]], stems: set[str]) -> bool:
    """By where a song was read or, if the folder was moved since, by where it would lie now."""
    root = real(folder)
    may_have_moved = not isinstance(folder, UrlPath)  # a journal of an address belongs to it
    return any(
        _key(place) not in stems
        and (real(source).is_relative_to(root) or (may_have_moved and is_there(place)))
        for source, place in songs
    )


def _key(path: Path) -> str:
    """The same for every way to the file; of a link, the link itself is meant."""
    folder = path.parent if isinstance(path, UrlPath) else real(path.parent)
    return folded(str(folder / path.name))
