r"""What a journal stores: songs, stems, file contents, and paths in the same form on every system.

Windows separates folders by ``\`` and understands ``/`` as well; on other systems a backslash is
an ordinary character of a name. So forward slashes are what every system reads in the same way.
Names that are not valid text keep their bytes (PEP 383).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Literal, NamedTuple

from model_zoo.errors import StorageError
from model_zoo.files import sha256
from stemcli.remote_path import UrlPath


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
        """Read a file, if that is possible, else give :data:`UNREAD`."""
        try:
            return cls.of(path)
        except (OSError, StorageError):
            return UNREAD

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


UNREAD = Content(0, 0, "")
"""In the place of a file that was not read yet or cannot be read; no file is like it."""

State = Literal["begun", "ready", "done", "failed"]


@dataclass(frozen=True)
class Output:
    """One file of stems.

    Attributes:
        path: where it is, or will be.
        temporary: what it was called before it was renamed.
        content: what was last written there; None if nothing was.
        attempt: the last attempt at its song that was to make it.
    """

    path: Path
    temporary: Path
    content: Content | None
    attempt: int

    @property
    def is_whole(self) -> bool:
        """Whether the file still is as it was written."""
        return self.content is not None and self.content.is_in(self.path)


@dataclass(frozen=True)
class JournalEntry:
    """What is known of one song.

    Attributes:
        source: where it lay.
        content: what was in it.
        settings: JSON of everything that determines what the stems sound like.
        state: how far it got.
        message: why it failed.
        attempts: how many times it was begun.
        finished: how many times it was completed.
        audio_seconds: length of what was separated.
        wall_seconds: time it took.
        outputs: every file that was ever made for it or is being made, by path.
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
"""How this system splits a path into its parts."""


class OutsideError(ValueError):
    """A stored path does not name a file below its folder."""


def to_bytes(text: str) -> bytes:
    """``text`` in the encoding of file names, or in UTF-8 where that lacks a character."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def to_text(value: bytes) -> str:
    """The reverse of :func:`to_bytes`; on Windows, names from elsewhere may not be UTF-8."""
    try:
        return os.fsdecode(value)
    except UnicodeDecodeError:
        return value.decode("utf-8", "surrogateescape")


def stored(path: PurePath | str) -> bytes:
    """A relative path of this system, with forward slashes."""
    plain = path if isinstance(path, PurePath) else LOCAL(path)
    return to_bytes(plain.as_posix())


def spelled(value: bytes) -> str:
    """The reverse of :func:`stored`."""
    return str(LOCAL(to_text(value)))


def below(value: bytes) -> PurePath:
    """A stored path of a file, relative to the folder of the journal.

    Raises:
        OutsideError: it is absolute, climbs out of the folder or names no file.
    """
    path = LOCAL(to_text(value))
    outside = path.is_absolute() or ".." in path.parts or not path.name or b"\0" in value
    if outside or (isinstance(path, PureWindowsPath) and _is_special_on_windows(path)):
        raise OutsideError(f"{str(path)!r} is not a path below its folder")
    return path


def has_backslashes() -> bool:
    """Whether a backslash separates folders here."""
    return LOCAL is PureWindowsPath


def _is_special_on_windows(path: PureWindowsPath) -> bool:
    """A drive, the root of one, a stream of a file (``a:b``), or dots hidden by spaces.

    Windows drops spaces and dots at the end of a name
    (https://learn.microsoft.com/windows/win32/fileio/naming-a-file, "Naming Conventions").
    """
    has_colon = any(":" in part for part in path.parts)
    return bool(path.anchor) or has_colon or any(not part.strip(". ") for part in path.parts)
