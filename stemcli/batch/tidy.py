"""Leave no empty folders behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stemcli.batch.url_path import UrlPath


@contextmanager
def no_empty_folders(outputs: Iterable[Path]) -> Iterator[None]:
    """Remove the folders of ``outputs`` that were not there before and are empty at the end.

    What lies behind a URL has no folders of its own.

    Songs that are worked on at the same time share folders: the song that made one may end before
    another that still writes there, and then cannot remove it.
    """
    local = [path for path in outputs if not isinstance(path, UrlPath)]
    new = {folder for path in local for folder in path.parents if not folder.exists()}
    try:
        yield
    finally:
        for folder in sorted(new, key=lambda folder: len(folder.parts), reverse=True):
            # Not empty, or never made: either way it stays as it is.
            with suppress(OSError):
                folder.rmdir()
