"""One run at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_zoo.errors import OutputError

_OPEN: set[int] = set()
"""Folders that this process holds; processes that it forks off must not hold them on."""


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Hold ``folder`` for one run; the system lets go of it when the process ends, however it does.

    Yields whether it is held: some systems and disks know no such locks.

    Raises:
        OutputError: another run holds it, or it cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield False
        return
    was_there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(
            f"Cannot write {folder} ({error.strerror}). Choose a folder you may write"
        ) from error
    _OPEN.add(place)
    is_held = False
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_held = True
    except BlockingIOError as error:
        _close(place)
        raise OutputError(
            f"Another run is writing into {folder}. Wait for it, or name another --output"
        ) from error
    except OSError:  # a disk without locks
        pass
    try:
        yield is_held
    finally:
        _close(place)
        if not was_there:
            with suppress(OSError):  # something lies in it
                folder.rmdir()


def _close(place: int) -> None:
    _OPEN.discard(place)
    os.close(place)


def _let_go() -> None:
    """In a process that was forked off, which may outlive a killed run for some seconds."""
    for place in [*_OPEN]:
        _close(place)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
