"""The folder of a run on a cluster: on this machine, on a shared disk, or behind a URL.

A worker computes in a folder of its own machine, and new files are copied to the folder of the run
whenever a checkpoint is written. Ray Train would store each checkpoint in a folder of its own, with
an index that only Ray Train reads. Here a run leaves the same files as on one machine, and each
resumes where the other stopped (``tests/trainers/cluster/test_on_this_machine.py``).
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
"""Prefix of files that a run only appends to and never reads: TensorBoard's."""

PARTIAL = ".part"
"""Suffix of a file that is still being uploaded."""

RETRY_DELAYS_S = (2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each new attempt to store a file: networks and services have outages."""


def _no_check() -> None:
    """Accept the write: no other worker group writes there."""


class RunStorage:
    """Copies files between the folder of a run and a folder of this machine.

    Args:
        output: folder of the run, under a name that is the same on all machines.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._stored: dict[Path, tuple[int, int]] = {}  # size and mtime (ns) when stored

    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return (self.output / LAST).exists()

    def fetch(self, folder: Path, *names: str) -> None:
        """Copy what a run needs to resume, or only the files ``names``, into ``folder``.

        Raises:
            StorageError: the storage cannot be reached.
            OSError: this machine has no free space.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in map(Path, names) if names else self._needed():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _fetch(self.output / name, folder / name)
            self._stored[name] = _mark(folder / name)

    def store(self, folder: Path, require_current: Callable[[], None] = _no_check) -> None:
        """Copy changed files from ``folder`` to the run, the checkpoint last; remove deleted ones.

        Every file in the run is complete, or as it was before.

        Args:
            folder: of this machine.
            require_current: called before the first file, and again before the checkpoint gets
                its name, which may be minutes later; raises if another worker group has taken
                over.

        Raises:
            OutputError: the folder of the run cannot be written.
            StorageError: the storage cannot be reached, for a minute.
        """
        require_current()
        for name in sorted(self._changed(folder), key=lambda name: name == Path(LAST)):
            mark = _mark(folder / name)
            check = require_current if name == Path(LAST) else _no_check
            _retry(partial(_store, folder / name, self.output / name, check))
            self._stored[name] = mark
        self._remove_gone(folder)

    def _needed(self) -> Iterator[Path]:
        """Yield all files but curves, and remove the partial files of killed processes."""
        for name in _files(self.output):
            if name.name.startswith(".") and name.name.endswith(PARTIAL):
                with suppress(OSError, StorageError):
                    (self.output / name).unlink()
            elif not name.name.startswith((".", CURVES)):
                yield name

    def _changed(self, folder: Path) -> Iterator[Path]:
        for name in _files(folder):
            # Temporary files of loggers may be gone again.
            with suppress(FileNotFoundError):
                is_hidden = name.name.startswith(".")
                if not is_hidden and self._stored.get(name) != _mark(folder / name):
                    yield name

    def _remove_gone(self, folder: Path) -> None:
        """Remove files from the run that the loop has deleted, such as old excerpts."""
        for name in [name for name in self._stored if not (folder / name).exists()]:
            _retry(partial((self.output / name).unlink, missing_ok=True))
            del self._stored[name]


def _files(folder: Path) -> list[Path]:
    """Return all files in a folder, relative to it."""
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


def _retry(work: Callable[[], None]) -> None:
    """Try for a minute, so that a short outage of the storage does not end a run of days."""
    for delay in RETRY_DELAYS_S:
        try:
            return work()
        except (OSError, OutputError, StorageError):
            time.sleep(delay)
    return work()


def _store(source: Path, target: Path, require_current: Callable[[], None]) -> None:
    if isinstance(target, UrlPath):
        partial_file = target.with_name(f".{target.name}.{uuid4().hex}{PARTIAL}")
        partial_file.store(source)
        require_current()
        partial_file.replace(target)
        return
    with staged(target) as temporary:
        shutil.copyfile(source, temporary)
        require_current()
