"""The folder of a run, wherever it lies: on this machine, on a shared disk, or behind a URL.

A worker computes in a folder of its own machine, and what is new there is copied to the storage
whenever a checkpoint was written. So every kind of storage is used in one way, a run on a cluster
leaves what a run on one machine leaves, and either can go on where the other stopped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

from model_zoo.catalogue.resolve import LAST
from model_zoo.errors import OutputError, StorageError
from model_zoo.files import staged
from stemcli.remote_path import UrlPath

CURVES = "events."
"""Begin of the names of files that a run only adds to, and never reads."""

HALF = ".part"
PAUSES = (2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between two tries to store a file: networks and services have bad minutes."""


def _always() -> None:
    """Nobody else writes there."""


class RunStorage:
    """Copies between the folder of a run and a folder of this machine.

    Args:
        place: folder of the run, which all machines see under this name.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._stored: dict[Path, tuple[int, int]] = {}  # size and time of change, as stored last

    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return (self.place / LAST).exists()

    def fetch(self, folder: Path, *names: str) -> None:
        """Copy all that a run needs to go on, or only the files ``names``, into ``folder``.

        Raises:
            StorageError: the storage cannot be reached.
            OSError: this machine has no room.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in map(Path, names) if names else self._needed():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _fetch(self.place / name, folder / name)
            self._stored[name] = _mark(folder / name)

    def store(self, folder: Path, require_right: Callable[[], None] = _always) -> None:
        """Make the place like ``folder``, the checkpoint after all that belongs to it.

        Every file is complete or as it was before.

        Args:
            folder: of this machine.
            require_right: asked before the first file, and again before the checkpoint gets its
                name, which may be minutes later; raises where another writes there now.

        Raises:
            OutputError: the folder of the run cannot be written.
            StorageError: the storage cannot be reached, for a minute.
        """
        require_right()
        for name in sorted(self._changed(folder), key=lambda name: name == Path(LAST)):
            mark = _mark(folder / name)
            right = require_right if name == Path(LAST) else _always
            _patiently(partial(_store, folder / name, self.place / name, right))
            self._stored[name] = mark
        self._remove_gone(folder)

    def _needed(self) -> Iterator[Path]:
        """All but curves; what killed processes left half written is removed."""
        for name in _files(self.place):
            if name.name.startswith(".") and name.name.endswith(HALF):
                with suppress(OSError, StorageError):
                    (self.place / name).unlink()
            elif not name.name.startswith((".", CURVES)):
                yield name

    def _changed(self, folder: Path) -> Iterator[Path]:
        for name in _files(folder):
            # What logs keep for a moment may be gone again.
            with suppress(FileNotFoundError):
                is_ours = not name.name.startswith(".")
                if is_ours and self._stored.get(name) != _mark(folder / name):
                    yield name

    def _remove_gone(self, folder: Path) -> None:
        """Excerpts come and go."""
        for name in [name for name in self._stored if not (folder / name).exists()]:
            _patiently(partial((self.place / name).unlink, missing_ok=True))
            del self._stored[name]


def _files(folder: Path) -> list[Path]:
    """All files in a folder, relative to it."""
    if isinstance(folder, UrlPath):
        return folder.below()
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _mark(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _fetch(source: Path, target: Path) -> None:
    if isinstance(source, UrlPath):
        source.fetch(target)
    else:
        shutil.copyfile(source, target)


def _patiently(work: Callable[[], None]) -> None:
    """A run of days shall outlast a minute without its storage."""
    for pause in PAUSES:
        try:
            return work()
        except (OSError, OutputError, StorageError):
            time.sleep(pause)
    return work()


def _store(source: Path, target: Path, require_right: Callable[[], None]) -> None:
    if isinstance(target, UrlPath):
        half = target.with_name(f".{target.name}.{uuid4().hex}{HALF}")
        half.store(source)
        require_right()
        half.replace(target)
        return
    with staged(target) as temporary:
        shutil.copyfile(source, temporary)
        require_right()
