"""Paths that songs in progress will write, so that two songs never write the same file."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_zoo.errors import OutputError
from stemcli.engine.outputs import path_key

_TAKEN: set[str] = set()
_LOCK = threading.Lock()


@contextmanager
def reserved(paths: Iterable[Path]) -> Iterator[None]:
    """Keep other songs of this process, in any session, from writing the same paths.

    Args:
        paths: files of one song, whether they exist or not.

    Raises:
        OutputError: another song in progress writes one of them.
    """
    keys = {path_key(path): path for path in paths}
    with _LOCK:
        for key in (key for key in keys if key in _TAKEN):
            raise OutputError(
                f"{keys[key]} is being written by another song. Give one of the songs another "
                "name or folder, or start it when the other has ended"
            )
        _TAKEN.update(keys)
    try:
        yield
    finally:
        with _LOCK:
            _TAKEN.difference_update(keys)
