"""Environment variables for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment(values: Mapping[str, str], *, replace: bool = False) -> Iterator[None]:
    """Set variables, and leave them afterwards as they were.

    Args:
        values: by name.
        replace: also where the user has set them.
    """
    before = {name: os.environ.get(name) for name in values}
    chosen = {name: value for name, value in values.items() if replace or before[name] is None}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            value = before[name]
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
