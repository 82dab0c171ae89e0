"""Paths behind URLs, in any file system that fsspec or pyarrow opens.

Only what a batch asks of a path is there: looking, listing, reading, moving and removing.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote, urlsplit

from model_zoo.errors import (
    MissingExtraError,
    OutputError,
    StorageError,
    UsageError,
    first_line,
)

if TYPE_CHECKING:
    Base = Path
else:
    Base = type(Path())

BLOCK = 2**20  # bytes

# What file systems of fsspec call the mark of a content, and the date of its last change.
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "version_id", "generation")
_DATES = ("mtime", "LastModified", "last_modified", "updated", "modify", "modified", "created")


class UrlPath(Base):
    """A file or folder, e.g. ``UrlPath("s3://bucket/songs/a.mp3")``.

    It is no path of this machine, and refuses to be taken for one.

    Raises:
        StorageError: by every method that looks: the file system cannot be reached or refuses.
        MissingExtraError: what the scheme needs is not installed.
    """

    def __str__(self) -> str:
        scheme, *rest = self.parts or ("",)
        return f"{scheme}//{'/'.join(rest)}" if scheme.endswith(":") else "/".join(self.parts)

    def __fspath__(self) -> NoReturn:
        raise TypeError(f"{self} is not on this machine")

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self._info()["size"] or 0)

    @property
    def version(self) -> str:
        """Another one whenever the content is; where nothing better is told, by the date."""
        info = self._info()
        mark = next((info[key] for key in _MARKS if info.get(key)), None)
        date = next((info[key] for key in _DATES if info.get(key)), "")
        return str(mark or f"{info['size']} {date}")

    def exists(self, **_: Any) -> bool:
        """Whether it is there."""
        with suppress(FileNotFoundError):
            return bool(self._info())
        return False

    def is_dir(self, **_: Any) -> bool:
        """Whether it is a folder."""
        with suppress(FileNotFoundError):
            return bool(self._info()["type"] == "directory")
        return False

    def iterdir(self) -> Generator[UrlPath]:
        """What lies in the folder."""
        system, path = self._system
        with _speaking(self):
            system.invalidate_cache(path)
            names = system.ls(path, detail=False)
        yield from (self / PurePosixPath(name).name for name in names)

    def below(self) -> list[Path]:
        """All files in the folder and its sub-folders, relative to it."""
        system, path = self._system
        with _speaking(self):
            found = system.find(path)
        return sorted(Path(PurePosixPath(name).relative_to(path)) for name in found)

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        """Open the file, in a binary mode."""
        system, path = self._system
        with _speaking(self):
            return system.open(path, mode)

    def replace(self, target: Any) -> Any:
        """Give it another name, in the same file system."""
        system, path = self._system
        with _speaking(self):
            _move(system, path, target._system[1])
        return target

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        if missing_ok and not self.exists():
            return
        system, path = self._system
        with _speaking(self):
            system.rm_file(path)

    def fetch(self, target: Path) -> None:
        """Copy the file to this machine.

        Raises:
            OSError: this machine has no room for it.
        """
        with self.open("rb") as source, target.open("wb") as copy:
            while block := self._read(source):
                copy.write(block)

    def store(self, source: Path) -> None:
        """Make the file a copy of one on this machine; folders above it are made."""
        system, path = self._system
        with _speaking(self):
            folder = str(PurePosixPath(path).parent)
            try:
                system.makedirs(folder, exist_ok=True)
            except Exception:
                # Another song may have made it at the same moment.
                system.invalidate_cache(folder)
                if not system.isdir(folder):
                    raise
            system.put_file(str(source), path)

    def _read(self, source: Any) -> bytes:
        with _speaking(self):
            return bytes(source.read(BLOCK))

    @property
    def _system(self) -> tuple[Any, str]:
        """The file system, one for each thread where it cannot be shared, and the path in it."""
        with _speaking(self):
            return _open(str(self))

    def _info(self) -> dict[str, Any]:
        system, path = self._system
        with _speaking(self):
            system.invalidate_cache(str(PurePosixPath(path).parent))
            return dict(system.info(path))


def as_path(text: str) -> Path:
    """The path that a user typed; a ``file:`` URL is one of this machine.

    Raises:
        UsageError: the address holds a password, which would be shown and written down.
    """
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.password:
        shown = text.replace(f":{parts.password}@", "@")
        raise UsageError(
            f"The address {shown} was typed with a password. Leave it out and put it into the "
            "configuration of fsspec, as docs/libraries.md says"
        )
    return Path(unquote(parts.path)) if parts.scheme == "file" else UrlPath(text)


def require_root(folder: UrlPath) -> None:
    """The bucket or server must be there: some libraries would make a bucket of a mistyped name.

    Raises:
        OutputError: it is not.
        StorageError: it cannot be reached.
    """
    root = type(folder)(*folder.parts[:2])
    if not root.is_dir():
        raise OutputError(f"There is no {root}. Make it first, or type another --output")


def is_there(path: Path) -> bool:
    """Whether a file can be found there; names that no file system takes are no error."""
    return path.exists() if isinstance(path, UrlPath) else os.path.exists(path)


def is_taken(path: Path) -> bool:
    """The same, or a link that leads nowhere."""
    return path.exists() if isinstance(path, UrlPath) else os.path.lexists(path)


def real(path: Path) -> Path:
    """Without links and relative parts."""
    return path if isinstance(path, UrlPath) else Path(os.path.realpath(path))


def absolute(path: Path) -> Path:
    """The same from every folder and, where folders are shared, on every machine."""
    return path if isinstance(path, UrlPath) else Path(os.path.abspath(path))


def folded(name: str) -> str:
    """``name`` as a file system that ignores case and composes accents sees it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _open(url: str) -> tuple[Any, str]:
    """A file system and the path of ``url`` in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError("fsspec, which URLs need,", "cluster") from error
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        scheme, host = urlsplit(url)[:2]
        system, root = _open_arrow(f"{scheme}://{host}", str(error))
        path = root + url[len(f"{scheme}://{host}") :]
    return system, path


@cache
def _open_arrow(url: str, reason: str) -> tuple[Any, str]:
    """Some file systems come with pyarrow, where fsspec would want another package."""
    try:
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import FileSystem

        # Without keys, Google's client would go on asking for them for a quarter of an hour.
        limit = "?retry_limit_seconds=10" if url.startswith("gs:") else ""
        system, root = FileSystem.from_uri(url + limit)
    except (ImportError, ValueError, OSError) as error:
        raise StorageError(f"{url} cannot be opened ({reason}): install what it needs") from error
    return ArrowFSWrapper(system), root


def _move(system: Any, path: str, target: str) -> None:
    """Rename; where that is a copy, fsspec's own way would take brackets in names for patterns.

    A copy onto itself would be removed as the original.
    """
    from fsspec.spec import AbstractFileSystem

    if path == target:
        return
    if type(system).mv is not AbstractFileSystem.mv:
        system.mv(path, target)
        return
    system.cp_file(path, target)
    system.rm_file(path)


@contextmanager
def _speaking(path: UrlPath) -> Iterator[None]:
    """One sentence for whatever a library for some service raises."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (StorageError, MissingExtraError):
        raise
    except Exception as error:
        raise StorageError(
            f"{path} cannot be reached ({first_line(error)}): check the address, your rights and "
            "the settings of fsspec for it"
        ) from error
