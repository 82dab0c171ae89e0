"""Where the scores of an evaluation lie."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile

from model_zoo.errors import OutputError, UsageError

SUBSET = "test"
"""Folder of the scores of a method: museval looks for files of scores in this one alone."""

EXCERPTS = "excerpts"
SUMMARY, SONGS, REPORT = FILES = ("summary.json", "songs.csv", "report.html")
ENDING = ".json"


class Shelf:
    """The folder of an evaluation: ``METHOD/test/SONG.json``, and ``excerpts`` beside the methods.

    Args:
        root: the folder.
        methods: names of the methods.
        songs: names of the songs.

    Raises:
        UsageError: a name is no name of a file, is there twice, or the folder holds other songs.
        OutputError: the folder cannot be written.
    """

    def __init__(self, root: Path, methods: Iterable[str], songs: Iterable[str]) -> None:
        self.root = root
        names = _require_names("methods", methods)
        taken = names & {EXCERPTS, *FILES}
        if taken:
            raise UsageError(
                f"No method can be called {taken.pop()}, which the scores need: rename it"
            )
        files = _require_names("songs", map(file_name, songs))
        self._refuse_others(methods, files)
        _require_writable(root)

    def scores(self, method: str, song: str) -> Path:
        """The file of the scores of a song by a method."""
        return self.root / method / SUBSET / f"{file_name(song)}{ENDING}"

    def piece(self, song: str) -> Path:
        """The folder of the excerpt of a song."""
        return self.root / EXCERPTS / file_name(song)

    def _refuse_others(self, methods: Iterable[str], songs: set[str]) -> None:
        """Files of other songs would be summed up with ours by whoever reads the folder."""
        for method in methods:
            found = sorted((self.root / method / SUBSET).glob(f"*{ENDING}"))
            others = [file for file in found if file.stem not in songs]
            if others:
                more = f" and {len(others) - 1} more" if len(others) > 1 else ""
                raise UsageError(
                    f"{self.root} holds scores of other songs ({others[0].stem}{more}):"
                    " type --output with another folder, or remove that one"
                )


def require_outside(output: Path, *inputs: Path) -> None:
    """Scores among songs would be taken for songs the next time.

    Raises:
        UsageError: the output is in a folder of songs.
    """
    for folder in inputs:
        if output.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{output} is in {folder}, where the songs are: type another --output")


def _require_writable(root: Path) -> None:
    """Before anything is measured."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise OutputError(f"Cannot write to {root} ({error.strerror or error}).") from error


def file_name(song: str) -> str:
    """The name of a song without folders, so that museval knows songs in sub-folders apart."""
    return song.replace("/", "__").replace(os.sep, "__")


def _require_names(kind: str, names: Iterable[str]) -> set[str]:
    counts = Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise UsageError(f"Two {kind} are called {twice[0]}: rename or leave out one of them")
    odd = [name for name in counts if name in ("", ".", "..") or Path(name).name != name]
    if odd:
        raise UsageError(f"{odd[0]!r} cannot be the name of a folder: rename it")
    return {*counts}
