"""Identifies the content of a file by its size, time and hash."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from model_zoo.errors import StorageError
from model_zoo.files import sha256
from stemcli.batch.url_path import UrlPath


class Content(NamedTuple):
    """Size in bytes, time of the last change in ns, and SHA-256 of a file.

    Of a file behind a URL there is no time, and instead of the hash the version that its file
    system tells, so that nobody has to fetch it.
    """

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
            StorageError: its URL cannot be reached.
        """
        if isinstance(path, UrlPath):
            return cls(path.size, 0, path.version)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file")
        with path.open("rb") as file:
            if synced:
                os.fsync(file.fileno())
            status = os.fstat(file.fileno())
        return cls(status.st_size, status.st_mtime_ns, sha256(path))

    @classmethod
    def of_readable(cls, path: Path) -> Content:
        """Read a file, if that is possible; else give what no file is like."""
        try:
            return cls.of(path)
        except (OSError, StorageError):
            return cls(0, 0, "")

    def is_in(self, path: Path) -> bool:
        """Whether ``path`` holds this content; read only if it was touched since."""
        if isinstance(path, UrlPath):
            return path.exists() and path.size == self.size and self._is_version_of(path)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
                return False
            return status.st_mtime_ns == self.mtime_ns or sha256(path) == self.sha256
        except OSError:
            return False

    def _is_version_of(self, path: UrlPath) -> bool:
        """Fetch it only where a hash is known: of a stem that was renamed just before a crash."""
        return self.sha256 in (path.version, sha256(path))
