"""Copies a journal that a run may be writing, or was writing when the power failed.

SQLite keeps the old content of changed pages in a rollback journal beside the database until a
transaction is complete (https://www.sqlite.org/atomiccommit.html). Only both files together are a
valid database: SQLite undoes the unfinished transaction when it opens them. It would have to lock
and change the files for that, which a reader must not do, so it gets a copy of them.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

from stemcli.batch.journal_trust import check_files

TRIES = 20
PAUSE = 0.1
"""Seconds between two tries."""


class BusyError(Exception):
    """A run changed the journal during every attempt to copy it."""


def settled_copy(path: Path, folder: Path) -> Path:
    """Copy a journal and its rollback journal into ``folder``, both as of the same moment.

    Raises:
        DamagedError: one of the files is not what Stem writes.
        BusyError: they were changed during every attempt.
        OSError: they cannot be copied.
    """
    for _ in range(TRIES):
        check_files(path)
        before = _state(path)
        copy = _copied(path, folder)
        if _state(path) == before:
            return copy
        time.sleep(PAUSE)
    raise BusyError


def rollback_of(path: Path) -> Path:
    """Where SQLite keeps the old content of changed pages."""
    return path.with_name(f"{path.name}-journal")


def _copied(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    shutil.copyfile(path, copy)
    rollback_of(copy).unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # there is none between two transactions
        shutil.copyfile(rollback_of(path), rollback_of(copy))
    return copy


def _state(path: Path) -> list[tuple[int, int, int] | None]:
    """What differs after any write to the two files, in bytes and nanoseconds."""
    return [_stamp(file) for file in (path, rollback_of(path))]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
