"""Folders that a worker computes in, and that nothing of is left."""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from model_zoo.errors import OutputError
from trainers.loop.lock import alone_in


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A new folder of this machine for one worker, which is gone at the end.

    Processes that were killed cannot tidy up; whoever comes next does it for them.

    Args:
        name: of the folder; logs say so.

    Raises:
        OutputError: the system's folder for temporary files cannot be written.
    """
    base = Path(tempfile.gettempdir()) / f"stem-workers-{getpass.getuser()}"
    _tidy(base)
    room = base / uuid4().hex
    with alone_in(room):
        try:
            yield room / (name or "run")
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _tidy(base: Path) -> None:
    """Remove what nobody holds, where the system can tell."""
    rooms = [*base.iterdir()] if os.name == "posix" and base.is_dir() else []
    for room in rooms:
        try:
            with alone_in(room):
                shutil.rmtree(room, ignore_errors=True)
        except OutputError:
            pass  # somebody is at work there
