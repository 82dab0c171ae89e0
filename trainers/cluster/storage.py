"""The folder of a run, wherever it lies: on this machine, on a shared disk, or behind a URL.

A worker computes in a folder of its own machine, and what is new there is copied to the storage
whenever a checkpoint was written. So every kind of storage is used in one way, a run on a cluster
leaves what a run on one machine leaves, and either can go on where the other stopped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from model_zoo.adoption import LAST
from model_zoo.errors import OutputError, StorageError
from model_zoo.files import staged
from stemcli.batch.url_path import UrlPath

NEEDED = (".safetensors", ".json", ".jsonl")
"""Endings of what a run needs to go on; sound and curves are only added to."""

TRIES = 3
PAUSE = 2.0
"""Seconds before the second try to store a file; twice as long before the third."""


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
        """Copy what a run needs to go on, or only the files ``names``, into ``folder``.

        Raises:
            StorageError: the storage cannot be reached.
            OSError: this machine has no room.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name in names or self._needed():
            _fetch(self.place / name, folder / name)
            self._stored[Path(name)] = _mark(folder / name)

    def store(self, folder: Path) -> None:
        """Copy what changed in ``folder``, the checkpoint after all that belongs to it.

        Every file is complete or as it was before.

        Raises:
            OutputError: the folder of the run cannot be written.
            StorageError: the storage cannot be reached, three times in a row.
        """
        for name in sorted(self._changed(folder), key=lambda name: name == Path(LAST)):
            mark = _mark(folder / name)
            _patiently(folder / name, self.place / name)
            self._stored[name] = mark

    def _needed(self) -> list[str]:
        return [path.name for path in self.place.iterdir() if _is_needed(path.name)]

    def _changed(self, folder: Path) -> Iterator[Path]:
        for path in folder.rglob("*"):
            name = path.relative_to(folder)
            is_ours = path.is_file() and not name.name.startswith(".")
            if is_ours and self._stored.get(name) != _mark(path):
                yield name


def _is_needed(name: str) -> bool:
    return name.endswith(NEEDED) and not name.startswith(".")


def _mark(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _fetch(source: Path, target: Path) -> None:
    if isinstance(source, UrlPath):
        source.fetch(target)
    else:
        shutil.copyfile(source, target)


def _patiently(source: Path, target: Path) -> None:
    """Networks and services have bad moments; a run of days shall outlast them."""
    for number in range(1, TRIES):
        try:
            return _store(source, target)
        except (OutputError, StorageError):
            time.sleep(PAUSE * number)
    return _store(source, target)


def _store(source: Path, target: Path) -> None:
    if isinstance(target, UrlPath):
        half = target.with_name(f".{target.name}.part")
        half.store(source)
        half.replace(target)
        return
    with staged(target) as temporary:
        shutil.copyfile(source, temporary)
