"""Paths of URLs, in any file system that fsspec or pyarrow can open.

Only operations that a batch needs are implemented: checking, listing, reading, moving, removing.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from model_zoo.errors import (
    MissingExtraError,
    OutputError,
    StorageError,
    UsageError,
    first_line,
)
from model_zoo.option_names import option
from stemcli.printable import shown_url

if TYPE_CHECKING:
    Base = Path
else:
    Base = type(Path())

BLOCK = 2**20  # bytes

# Names in fsspec's file systems for a content hash or version, and for the time of the last change.
_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "version_id", "generation")
_DATES = ("mtime", "LastModified", "last_modified", "updated", "modify", "modified", "created")


class UrlPath(Base):
    """A file or folder at a URL, e.g. ``UrlPath("s3://bucket/songs/a.mp3")``.

    Using it as a local path raises a TypeError.

    Raises:
        StorageError: by every method that accesses the URL: it cannot be reached or denies access.
        MissingExtraError: a package that the scheme needs is not installed.
    """

    def __str__(self) -> str:
        scheme, *rest = self.parts or ("",)
        return f"{scheme}//{'/'.join(rest)}" if scheme.endswith(":") else "/".join(self.parts)

    def __fspath__(self) -> NoReturn:
        raise TypeError(f"{self} is not on this machine")

    @property
    def size(self) -> int:
        """Size in bytes."""
        return int(self._info()["size"] or 0)

    @property
    def version(self) -> str:
        """A string that changes with the content; from size and date if there is nothing better."""
        info = self._info()
        mark = next((info[key] for key in _MARKS if info.get(key)), None)
        date = next((info[key] for key in _DATES if info.get(key)), "")
        return str(mark or f"{info['size']} {date}")

    def exists(self, **_: Any) -> bool:
        """Whether the file or folder exists."""
        with suppress(FileNotFoundError):
            return bool(self._info())
        return False

    def is_dir(self, **_: Any) -> bool:
        """Whether the path is a folder."""
        with suppress(FileNotFoundError):
            return bool(self._info()["type"] == "directory")
        return False

    def iterdir(self) -> Generator[UrlPath]:
        """Iterate over the entries of the folder."""
        system, path = self._system
        with _explain_errors(self):
            system.invalidate_cache(path)
            names = system.ls(path, detail=False)
        yield from (self / PurePosixPath(name).name for name in names)

    def below(self) -> list[Path]:
        """All files in the folder and its sub-folders, relative to it."""
        system, path = self._system
        with _explain_errors(self):
            found = system.find(path)
        return sorted(Path(PurePosixPath(name).relative_to(path)) for name in found)

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        """Open the file, in a binary mode."""
        system, path = self._system
        with _explain_errors(self):
            return system.open(path, mode)

    def replace(self, target: Any) -> Any:
        """Rename the file within its file system."""
        system, path = self._system
        with _explain_errors(self):
            _move(system, path, target._system[1])
        return target

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        if missing_ok and not self.exists():
            return
        system, path = self._system
        with _explain_errors(self):
            system.rm_file(path)

    def fetch(self, target: Path) -> None:
        """Download the file.

        Raises:
            OSError: the file cannot be written on this machine.
        """
        with target.open("wb") as copy:
            copy.writelines(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """The content of the file, block by block."""
        with self.open("rb") as source:
            while block := self._read(source):
                yield block

    def store(self, source: Path) -> None:
        """Upload a local file; parent folders are created."""
        system, path = self._system
        with _explain_errors(self):
            folder = str(PurePosixPath(path).parent)
            try:
                system.makedirs(folder, exist_ok=True)
            except Exception:
                # Another song may have created it at the same moment.
                system.invalidate_cache(folder)
                if not system.isdir(folder):
                    raise
            system.put_file(str(source), path)

    def _read(self, source: Any) -> bytes:
        with _explain_errors(self):
            return bytes(source.read(BLOCK))

    @property
    def _system(self) -> tuple[Any, str]:
        """The file system (one per thread if it cannot be shared), and the path in it."""
        with _explain_errors(self):
            return _open(str(self))

    def _info(self) -> dict[str, Any]:
        system, path = self._system
        with _explain_errors(self):
            system.invalidate_cache(str(PurePosixPath(path).parent))
            return dict(system.info(path))


URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""The beginning of a URL; one letter is a drive of Windows, as in ``C://Music``."""


def is_url(text: str) -> bool:
    """Whether text is a URL and not a local path."""
    return bool(URL.match(text))


def as_path(text: str) -> Path:
    """Convert text to a local path or a :class:`UrlPath`; ``file:`` URLs become local paths.

    Raises:
        UsageError: the URL contains a password, which would be shown and stored.
    """
    if not is_url(text):
        return Path(text)
    refuse_password(text)
    parts = urlsplit(text)
    return Path(_file_of(parts)) if parts.scheme == "file" else UrlPath(text)


def refuse_password(url: str) -> None:
    """Refuse a URL with a password, which would be shown and stored.

    Raises:
        UsageError: the URL contains a password, or is malformed.
    """
    try:
        password = urlsplit(url).password
    except ValueError as error:
        raise UsageError(f"{shown_url(url)} is not a valid URL ({first_line(error)})") from error
    if password:
        shown = shown_url(url).replace(f":{password}@", "@")
        raise UsageError(
            f"The URL {shown} was given with a password. Leave it out and put it into the "
            "configuration of fsspec; see docs/libraries.md"
        )


def _file_of(url: SplitResult) -> str:
    """The local path of a ``file:`` URL; on Windows, ``file:///C:/a`` and ``file://server/a``."""
    path = unquote(url.path)
    if os.name != "nt":
        return path
    return f"//{url.netloc}{path}" if url.netloc else re.sub(r"^/(?=[A-Za-z]:)", "", path)


def require_root(folder: UrlPath) -> None:
    """Require that the bucket or server exists: some libraries would create a mistyped bucket.

    Raises:
        OutputError: the bucket or server does not exist.
        StorageError: the bucket or server cannot be reached.
    """
    if str(folder).startswith(("http://", "https://")):
        raise OutputError(
            f"{folder} is on a web server, to which Stem cannot write. Use another "
            f"{option('output')}"
        )
    root = type(folder)(*folder.parts[:2])
    if not root.is_dir():
        raise OutputError(f"There is no {root}. Create it first, or use another {option('output')}")


def is_there(path: Path) -> bool:
    """Whether a path exists; False for names that are invalid in the file system."""
    return path.exists() if isinstance(path, UrlPath) else os.path.exists(path)


def is_taken(path: Path) -> bool:
    """Whether a path exists or is a dangling link."""
    return path.exists() if isinstance(path, UrlPath) else os.path.lexists(path)


def real(path: Path) -> Path:
    """Resolve links and relative parts; URLs stay unchanged."""
    return path if isinstance(path, UrlPath) else Path(os.path.realpath(path))


def absolute(path: Path) -> Path:
    """Make a path absolute; URLs stay unchanged."""
    return path if isinstance(path, UrlPath) else Path(os.path.abspath(path))


def folded(name: str) -> str:
    """``name`` in the form of a file system that ignores case and composes accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _open(url: str) -> tuple[Any, str]:
    """Open the file system of ``url``, with fsspec or pyarrow; return it and the path in it."""
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
    """Open a file system with pyarrow, for schemes for which fsspec needs another package."""
    try:
        from fsspec.implementations.arrow import ArrowFSWrapper
        from pyarrow.fs import FileSystem

        # Without credentials, Google's client would retry for a quarter of an hour.
        limit = "?retry_limit_seconds=10" if url.startswith("gs:") else ""
        system, root = FileSystem.from_uri(url + limit)
    except (ImportError, ValueError, OSError) as error:
        raise StorageError(
            f"{url} cannot be opened ({reason}). Check the URL, or install what it needs"
        ) from error
    return ArrowFSWrapper(system), root


def _move(system: Any, path: str, target: str) -> None:
    """Rename a file; without fsspec's generic ``mv``, which takes brackets in names for patterns.

    Nothing is done if both paths are equal, because copying would be followed by removing the copy.
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
def _explain_errors(path: UrlPath) -> Iterator[None]:
    """Turn any exception of a storage library into an error with one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (StorageError, MissingExtraError):
        raise
    except Exception as error:
        shown = shown_url(str(path))
        reason = first_line(error).replace(str(path), shown)
        raise StorageError(
            f"{shown} cannot be reached ({reason}). Check the URL, your permissions and "
            "the settings of fsspec for it"
        ) from error
