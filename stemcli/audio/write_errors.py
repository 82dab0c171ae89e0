"""Turns errors of the file system, when stems and pictures are written, into one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_zoo.errors import OutputError
from model_zoo.files import CLOSE_PROGRAM, is_in_use, is_too_long
from model_zoo.option_names import option


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
        raise OutputError(f"Cannot write to {path} ({reason}). {write_advice(path, error)}").about(
            "output"
        ) from error


def write_advice(path: Path, error: OSError) -> str:
    """What to do about an error in writing ``path``.

    Args:
        path: of the file or folder.
        error: what went wrong.
    """
    if is_too_long(path, error):
        return f"Shorten it with {option('filename')} or {option('output')}"
    elsewhere = f"Choose another folder with {option('output')}"
    if is_in_use(error):
        return f"{CLOSE_PROGRAM}, or {elsewhere[0].lower()}{elsewhere[1:]}"
    return elsewhere
