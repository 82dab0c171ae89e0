"""Files that are either complete or not there."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from model_zoo.errors import OutputError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A full disk, a quota that is used up, a file larger than is allowed."""

TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{32}\.part")
"""Names of files that :func:`staged` has not renamed yet."""


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
            f"Cannot write {path} ({error.strerror or error}). {_advice(error)}"
        ) from error
    finally:
        _remove(temporary)


def remove_unfinished(folder: Path, is_ours: Container[str]) -> None:
    """Remove what :func:`staged` left of files directly in ``folder`` when it was killed.

    Nobody else may be writing into the folder.

    Args:
        folder: where to look.
        is_ours: names of the files that may be removed; others with such a name stay.
    """
    for path in folder.iterdir():
        found = TEMPORARY.fullmatch(path.name)
        if found and found["name"] in is_ours and path.is_file() and not path.is_symlink():
            _remove(path)


def _advice(error: OSError) -> str:
    if error.errno in NO_ROOM:
        return "Make room there, or choose a folder on another disk"
    return "Choose a folder you may write"


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
