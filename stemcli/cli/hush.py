"""Keep the mutter of C libraries off the screen.

The MP3 decoder inside libsndfile prints notes of its own on stderr, in the middle of our sentences
and bars. What Python prints there goes on unchanged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stemcli.cli.streams import STDERR, writer_on


@contextmanager
def hushed(active: bool = True) -> Iterator[None]:
    """Send descriptor 2 to nowhere, and ``sys.stderr`` to where descriptor 2 went.

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
