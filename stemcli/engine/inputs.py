"""Songs as a Python program has them: paths, URLs and binary file objects."""

from __future__ import annotations

import inspect
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import IO, Any

from model_zoo.errors import DecodeError, StemError, UsageError, first_line
from stemcli.fetch import Report, explain_copy_errors, fetch, require_small
from stemcli.printable import copy_name, name_part
from stemcli.remote_path import UrlPath, as_path, is_url

Song = str | os.PathLike[str] | IO[bytes]
"""A song as ``separate_file`` takes it: a path, a URL, or a file object opened for bytes."""

BLOCK = 2**20  # bytes


def is_file_object(song: object) -> bool:
    """Whether ``song`` is a file object, which has a method ``read``."""
    return callable(getattr(song, "read", None)) and not isinstance(song, type)


def is_url_text(song: object) -> bool:
    """Whether ``song`` is a URL as text; a ``file:`` URL counts too."""
    return isinstance(song, str) and is_url(song)


def name_of(song: Song, name: str | os.PathLike[str] = "") -> str:
    """The file name of a song, from which ``{track}`` in a template of file names is taken.

    Args:
        song: a path, a URL or a file object.
        name: the name to use; by default that of the path or URL, or the ``name`` of the file
            object.

    Raises:
        UsageError: a file object has no name.
    """
    if is_url_text(song):
        from stemcli.web import url_name  # which loads OpenSSL

        return copy_name(PurePath(name).name or url_name(str(song)) or "download")
    if not is_file_object(song):
        return PurePath(name).name if name else Path(song).name  # type: ignore[arg-type]
    own = getattr(song, "name", "")
    given = name or (own if isinstance(own, str) and not own.startswith("<") else "")
    found = name_part(PurePath(given).name)
    if found in ("", ".", ".."):
        raise UsageError("The file object has no name. Add one for its stems, e.g. name='song.mp3'")
    return copy_name(found)


@contextmanager
def on_disk(
    song: Song,
    name: str | os.PathLike[str] = "",
    ended: threading.Event | None = None,
    report: Report | None = None,
    shown: str = "",
) -> Iterator[Path]:
    """The path of a song; URLs and file objects are copied to a temporary file with their name.

    Decoders seek, which pipes and sockets cannot do. A file object is read from its position to its
    end and stays open.

    Args:
        song: a path, a URL or a file object.
        name: see :func:`name_of`.
        ended: when it is set, a download stops at once with a KeyboardInterrupt, and a file object
            before its next block.
        report: called with the progress of a download, see :func:`~stemcli.fetch.fetch`.
        shown: name of the song in messages of errors, instead of the path of its copy; the file
            name of the copy if empty.

    Raises:
        UsageError: the file object has no name, is closed, asynchronous or opened for text.
        DecodeError: the file object cannot be read, is at its end or empty.
        OutputError: the temporary file cannot be written.
        StorageError: the URL cannot be reached, or the song is larger than the limit.
        StemError: was raised inside.
    """
    local = as_path(song) if is_url_text(song) else song  # type: ignore[arg-type]
    if not is_file_object(song) and not isinstance(local, UrlPath):
        with _named(Path(local), shown or str(local)):  # type: ignore[arg-type]
            yield Path(local)  # type: ignore[arg-type]
        return
    # A download that was interrupted may have the file open still.
    with TemporaryDirectory(prefix="stem-song-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / name_of(song, name)
        position = 0
        if is_file_object(song):
            position = _copy(song, path, ended or threading.Event())
        else:
            fetch(str(song), path, ended, report)
        with _named(path, shown or path.name), _position_named(position):
            yield path


@contextmanager
def _named(path: Path, shown: str) -> Iterator[None]:
    """Name a song in messages of errors as its user knows it; the error stays the same object."""
    try:
        yield
    except StemError as error:
        if str(path) != shown:
            error.args = (str(error).replace(str(path), shown),)
        raise


@contextmanager
def _position_named(position: int) -> Iterator[None]:
    """Say from where a file object was read, if that was not its beginning."""
    try:
        yield
    except DecodeError as error:
        if position:
            where = f"It was read from byte {position}; call seek(0) first to read all of it"
            error.args = (f"{str(error).rstrip('.')}. {where}",)
        raise


def _copy(song: Any, path: Path, ended: threading.Event) -> int:
    """Copy a file object from its position to its end; return the position."""
    name = path.name
    if isinstance(song, io.TextIOBase):
        raise _text(name)
    if getattr(song, "closed", False) is True:
        raise UsageError(f"{name} is closed. Open it again: open(path, 'rb')")
    position = _position(song)
    size = 0
    blocks = _blocks(song, name)
    with explain_copy_errors(path, name), path.open("wb") as copy:
        for block in blocks:
            if ended.is_set():
                raise KeyboardInterrupt
            require_small(size + len(block), name)
            size += copy.write(block)
    if not size and position:
        raise DecodeError(f"{name}: the file object is at its end. Call seek(0) first")
    if not size:
        raise DecodeError(f"{name} is empty (0 bytes). Use a file object that holds a song")
    return position


def _position(song: Any) -> int:
    """The position of a file object; 0 if it has none."""
    with suppress(Exception):
        position = song.tell()
        return position if isinstance(position, int) else 0
    return 0


def _blocks(song: Any, name: str) -> Iterator[bytes]:
    """Read a file object in blocks, or at once if its ``read`` takes no size."""
    size = (BLOCK,) if _takes_size(song.read) else ()
    while block := _read(song, name, size):
        yield block
        if not size:
            return


def _read(song: Any, name: str, size: tuple[int, ...]) -> bytes:
    try:
        block = song.read(*size)
    except Exception as error:  # whatever a class of the program raises
        raise DecodeError(
            f"{name} cannot be read ({_kind_and_text(error)}). Check the file object"
        ) from error
    if isinstance(block, str):
        raise _text(name)
    if inspect.isawaitable(block):
        if inspect.iscoroutine(block):
            block.close()
        raise UsageError(
            f"The method read of {name} is asynchronous. Use song=io.BytesIO(await file.read())"
        )
    if block is None:
        raise DecodeError(f"{name} has no data yet. Use a file object that waits for its data")
    try:
        return memoryview(block).tobytes()
    except TypeError as error:
        kind = type(block).__name__
        raise UsageError(
            f"The method read of {name} returns {kind}, not bytes. Use a file object of bytes"
        ) from error


def _kind_and_text(error: Exception) -> str:
    """The class of an error, whose text alone may say nothing: ``KeyError: 'x'``."""
    kind, text = type(error).__name__, first_line(error)
    return kind if text == kind else f"{kind}: {text}"


def _takes_size(read: Any) -> bool:
    try:
        inspect.signature(read).bind(BLOCK)
    except TypeError:
        return False
    except ValueError:  # compiled, without a signature
        return True
    return True


def _text(name: str) -> UsageError:
    return UsageError(f"{name} was opened for text. Open it for bytes: open(path, 'rb')")
