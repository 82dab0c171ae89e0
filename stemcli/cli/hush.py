"""Suppresses what C libraries print on standard error.

The MP3 decoder inside libsndfile prints notes there, in the middle of messages and progress bars.
Output of Python code is not affected.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stemcli.cli.streams import STDERR, writer_on


@contextmanager
def hushed(active: bool = True) -> Iterator[None]:
    """Redirect descriptor 2 to the null device, and ``sys.stderr`` to its former target.

    Does nothing where ``sys.stderr`` is not descriptor 2, as in tests and notebooks.
    """
    if not active or _descriptor() != STDERR:
        yield
        return
    own = sys.stderr
    own.flush()
    with writer_on(os.dup(STDERR), own, is_status=True, closefd=True) as copy:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), STDERR)
        sys.stderr = copy
        try:
            yield
        finally:
            sys.stderr = own
            copy.flush()
            os.dup2(copy.fileno(), STDERR)


def _descriptor() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return -1
