"""Simulates a full disk with a limit on file sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Limit files of this process and its children to ``size`` bytes."""
    resource = pytest.importorskip("resource", reason="Windows limits no process")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
