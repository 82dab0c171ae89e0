"""Files that a song must not write: those of another song in progress, and existing ones."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from model_zoo.errors import OutputError
from model_zoo.option_names import setting
from stemcli.engine.options import Existing
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


def must_skip(files: Sequence[Path], existing: Existing) -> bool:
    """Whether to skip a song because all of its files exist; if only some exist, it is redone.

    Raises:
        OutputError: a file exists, and ``existing`` is ``refuse``.
    """
    taken = [path for path in files if os.path.lexists(path)]
    if taken and existing == "refuse":
        raise OutputError(
            f"{taken[0]} already exists. Add {setting(existing='overwrite')} or "
            f"{setting(existing='skip')}"
        )
    return existing == "skip" and all(map(os.path.exists, files))
