r"""The records of a journal: songs, stems, file contents, and portable paths.

Windows separates folders by ``\`` and accepts ``/`` as well; on other systems a backslash is an
ordinary character of a name. Paths are therefore stored with forward slashes, which mean the same
on every system. Names that are not valid text keep their bytes (PEP 383).
"""

from __future__ import annotations

import os
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Literal, NamedTuple

from model_zoo.errors import StorageError
from model_zoo.files import sha256
from stemcli.remote_path import UrlPath


class Content(NamedTuple):
    """Size in bytes, time of the last change in ns, and SHA-256 of a file.

    For a URL the time is 0, and the version from its file system replaces the hash, so that the
    file need not be downloaded.
    """

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, *, synced: bool = False) -> Content:
        """Read a file.

        Args:
            path: the file.
            synced: whether to flush the content to the disk first (fsync).

        Raises:
            OSError: the file cannot be read, or is a pipe or a device, which might never end.
            StorageError: the URL cannot be reached.
        """
        if isinstance(path, UrlPath):
            return cls(path.size, 0, path.version)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file")
        # Windows flushes only files that are open for writing.
        with path.open("r+b" if synced else "rb") as file:
            if synced:
                os.fsync(file.fileno())
            status = os.fstat(file.fileno())
        return cls(status.st_size, status.st_mtime_ns, sha256(path))

    @classmethod
    def of_readable(cls, path: Path) -> Content:
        """Read a file; if that fails, return :data:`UNREAD`, which no file matches."""
        try:
            return cls.of(path)
        except (OSError, StorageError):
            return UNREAD

    def is_in(self, path: Path) -> bool:
        """Whether ``path`` has this content; the file is read only if its time has changed."""
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
        """Whether the version or hash matches; a hash is stored if a run crashed after a rename."""
        return self.sha256 == path.version or self.sha256 == sha256(path)


UNREAD = Content(0, 0, "")
"""Stands for a file that was not read or cannot be read; no file matches it."""

State = Literal["begun", "ready", "done", "failed"]


@dataclass(frozen=True)
class Output:
    """One stem file.

    Attributes:
        path: final path.
        temporary: path before the rename.
        content: content that was last written; None if nothing was written.
        attempt: the last attempt at its song that included this file.
    """

    path: Path
    temporary: Path
    content: Content | None
    attempt: int

    @property
    def is_waiting(self) -> bool:
        """Whether the file is complete under its temporary name."""
        return self.content is not None and self.content.is_in(self.temporary)

    @property
    def is_whole(self) -> bool:
        """Whether the file is unchanged since it was written."""
        return self.content is not None and self.content.is_in(self.path)


@dataclass(frozen=True)
class JournalEntry:
    """The journal entry of one song.

    Attributes:
        source: path of the song.
        content: content of the song.
        settings: JSON of everything that determines the sound of the stems.
        state: state of the last attempt.
        message: why the song failed.
        attempts: how many times the song was begun.
        finished: how many times the song was completed.
        audio_seconds: length of the separated audio.
        wall_seconds: time the separation took.
        outputs: all files of all attempts, by path.
    """

    source: Path
    content: Content
    settings: str
    state: State
    message: str
    attempts: int
    finished: int
    audio_seconds: float
    wall_seconds: float
    outputs: dict[Path, Output]

    @property
    def latest(self) -> list[Output]:
        """The files of the last attempt."""
        return [file for file in self.outputs.values() if file.attempt == self.attempts]


LOCAL: type[PurePath] = PureWindowsPath if os.name == "nt" else PurePosixPath
"""The path flavour of this system."""


class OutsideError(ValueError):
    """A stored path does not name a file below its folder."""


def to_bytes(text: str) -> bytes:
    """Encode ``text`` like file names, or in UTF-8 if that encoding lacks a character."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def to_text(value: bytes) -> str:
    """The inverse of :func:`to_bytes`; on Windows, names from other systems may not be UTF-8."""
    try:
        return os.fsdecode(value)
    except UnicodeDecodeError:
        return value.decode("utf-8", "surrogateescape")


def stored(path: PurePath | str) -> bytes:
    """Convert a relative path to its stored form, with forward slashes."""
    plain = path if isinstance(path, PurePath) else LOCAL(path)
    return to_bytes(plain.as_posix())


def spelled(value: bytes) -> str:
    """The inverse of :func:`stored`."""
    return str(LOCAL(to_text(value)))


def below(value: bytes) -> PurePath:
    """The path of a file from its stored form, relative to the folder of the journal.

    Raises:
        OutsideError: the path is absolute, leaves the folder or does not name a file.
    """
    path = LOCAL(to_text(value))
    outside = path.is_absolute() or ".." in path.parts or not path.name or b"\0" in value
    if outside or (isinstance(path, PureWindowsPath) and _is_special_on_windows(path)):
        raise OutsideError(f"{str(path)!r} is not a path below its folder")
    return path


def has_backslashes() -> bool:
    """Whether this system separates folders by backslashes."""
    return LOCAL is PureWindowsPath


def _is_special_on_windows(path: PureWindowsPath) -> bool:
    """Whether a path has a drive, a root, a stream (``a:b``), or dots hidden by spaces.

    Windows drops spaces and dots at the end of a name
    (https://learn.microsoft.com/windows/win32/fileio/naming-a-file, "Naming Conventions").
    """
    has_colon = any(":" in part for part in path.parts)
    return bool(path.anchor) or has_colon or any(not part.strip(". ") for part in path.parts)


STORED_PATHS = (("song", "place"), ("output", "place"), ("output", "path"), ("output", "temporary"))
"""Tables and columns with paths below a folder."""


def turn_backslashes(connection: sqlite3.Connection) -> None:
    """Convert paths that earlier versions wrote on Windows to forward slashes."""
    for table, column in STORED_PATHS:
        connection.execute(
            f"UPDATE OR REPLACE {table} SET {column} = CAST(replace({column}, '\\', '/') AS BLOB)"
            f" WHERE instr({column}, x'5c')"
        )
