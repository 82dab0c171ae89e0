"""Turns errors of the file system, when stems and pictures are written, into one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_zoo.errors import OutputError
from model_zoo.files import CLOSE_PROGRAM, is_in_use
from model_zoo.option_names import option

LONG_PATH = 245
"""Characters of a path above which its length is a reason for Windows to find no file.

Unless long paths are enabled, Windows takes 247 characters for a folder and 259 for a file
(https://learn.microsoft.com/windows/win32/fileio/maximum-file-path-limitation); the name of a
temporary file is up to 15 characters longer than that of the file.
"""


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system into an error with one sentence.

    Raises:
        OutputError: for every OSError inside.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"Cannot write to {path} ({reason}). {write_advice(path, error)}"
        ) from error


def write_advice(path: Path, error: OSError, elsewhere: str = "") -> str:
    """What to do about an error in writing ``path``.

    Args:
        path: of the file or folder.
        error: what went wrong.
        elsewhere: how to choose another folder, which helps against most errors.
    """
    if error.errno == errno.ENAMETOOLONG or _is_long_on_windows(path, error):
        return f"Shorten it with {option('filename')} or {option('output')}"
    elsewhere = elsewhere or f"Choose another folder with {option('output')}"
    if is_in_use(error):
        return f"{CLOSE_PROGRAM}, or {elsewhere[0].lower()}{elsewhere[1:]}"
    return elsewhere


def _is_long_on_windows(path: Path, error: OSError) -> bool:
    """Whether Windows, unless told otherwise, finds no file because of the length of its path."""
    is_missing = os.name == "nt" and error.errno == errno.ENOENT
    return is_missing and len(str(path.absolute())) >= LONG_PATH
