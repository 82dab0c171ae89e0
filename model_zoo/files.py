"""Files that are either complete or not there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from model_zoo.errors import OutputError


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` when the block succeeds.

    The file gets the permissions of any new file, whatever wrote it: safetensors would leave it
    readable by its owner alone.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path} ({error.strerror or error}). Choose a folder you may write"
        ) from error
    finally:
        _remove(temporary)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # The folder itself could not be made or entered, so nothing was left in it.
        return
