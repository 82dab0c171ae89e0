"""What is in a file, as far as is needed to know it again."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from model_zoo.files import sha256


class Content(NamedTuple):
    """Size in bytes, time of the last change in ns, and SHA-256 of a file."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, *, synced: bool = False) -> Content:
        """Read a file.

        Args:
            path: the file.
            synced: see to it that the content is on the disk, not only on its way.

        Raises:
            OSError: it cannot be read, or is a pipe or a device, which might never end.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file")
        with path.open("rb") as file:
            if synced:
                os.fsync(file.fileno())
            status = os.fstat(file.fileno())
        return cls(status.st_size, status.st_mtime_ns, sha256(path))

    def is_in(self, path: Path) -> bool:
        """Whether ``path`` holds this content; read only if it was touched since."""
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
                return False
            return status.st_mtime_ns == self.mtime_ns or sha256(path) == self.sha256
        except OSError:
            return False


UNREADABLE = Content(0, 0, "")
"""Stands for a file that cannot be read; no file is like it."""
