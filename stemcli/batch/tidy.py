"""Leave no empty folders behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def no_empty_folders(outputs: Iterable[Path]) -> Iterator[None]:
    """Remove the folders of ``outputs`` that were not there before and are empty at the end.

    Songs that are worked on at the same time share folders: the song that made one may end before
    another that still writes there, and then cannot remove it.
    """
    new = {folder for path in outputs for folder in path.parents if not folder.exists()}
    try:
        yield
    finally:
        for folder in sorted(new, key=lambda folder: len(folder.parts), reverse=True):
            # Not empty, or never made: either way it stays as it is.
            with suppress(OSError):
                folder.rmdir()
