"""Copies songs from URLs and from standard input to files on this machine, up to a size limit.

The content passes through in blocks, so a song of any size needs little memory.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from model_zoo.catalogue.transport import in_daemon_thread
from model_zoo.errors import DecodeError, OutputError, StorageError, UsageError
from stemcli.printable import is_web, shown_url
from stemcli.process import POLL
from stemcli.remote_path import UrlPath

LIMIT = "STEM_INPUT_LIMIT"
"""Environment variable with the largest song that is copied from elsewhere, in GiB."""

DEFAULT_LIMIT = 4.0
"""GiB; four hours of stereo at 24 bit and 44.1 kHz have 3.5 GiB."""

STDIN_NAME = "stdin"
"""Name of the song that is read from standard input."""

BLOCK = 2**20  # bytes

Report = Callable[[int, int | None], object]
"""Takes the bytes that are done, and the size of the file if the server states it."""


@dataclass
class Download:
    """A download in progress, shared by its thread and the one that waits for it.

    Attributes:
        done: bytes that were written.
        size: of the file; None while unknown.
        stop: when it is set, the download ends with its next block.
    """

    done: int = 0
    size: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)


def input_limit() -> int:
    """The size limit in bytes.

    Raises:
        UsageError: the environment variable is not a number above 0.
    """
    text = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise UsageError(f"{LIMIT} is {text!r}. Set it to a number of GiB, e.g. {LIMIT}=8")
    return round(limit * 2**30)


def fetch(
    url: str | UrlPath,
    target: Path,
    ended: threading.Event | None = None,
    report: Report | None = None,
) -> str:
    """Download a song to a new file.

    http and https need nothing else, unless fsspec is configured for them; fsspec or pyarrow opens
    other schemes.

    Args:
        url: of one file.
        target: where to write; nothing is left there after an error. After an interruption a
            thread may have the file open until it receives its next block and removes the file.
        ended: when it is set, the function stops at once with a KeyboardInterrupt, even if the
            server does not answer.
        report: called several times a second while the download goes on, in this thread.

    Returns:
        The file name that the server suggests; empty if it suggests none.

    Raises:
        StorageError: the URL cannot be reached, the download broke off, or the song is larger than
            the limit.
        DecodeError: there is no file at the URL.
        OutputError: the file cannot be written.
        UsageError: the URL is malformed.
        MissingExtraError: a package that the scheme needs is not installed.
    """
    download = Download()
    result = in_daemon_thread(lambda: _fetch(url, target, download))
    try:
        while not result.done():
            wait([result], POLL)
            if ended and ended.is_set():
                raise KeyboardInterrupt
            if report and download.done:
                report(download.done, download.size)
        return result.result()
    finally:
        download.stop.set()


def copy_stdin(stream: BinaryIO, target: Path) -> None:
    """Copy standard input to a new file.

    Args:
        stream: binary standard input.
        target: where to write; nothing is left there after an error.

    Raises:
        UsageError: standard input is a terminal.
        DecodeError: standard input is empty or cannot be read.
        StorageError: it is larger than the limit.
        OutputError: the file cannot be written.
    """
    if stream.isatty():
        raise UsageError(
            "- reads a song from standard input, which is a terminal. Pipe a song into it. "
            "Try: cat song.mp3 | stem separate -"
        )
    download = Download()
    _save(_stdin_blocks(stream), target, "The song on standard input", download)
    if not download.done:
        target.unlink()
        raise DecodeError("Standard input is empty (0 bytes). Check the command before the pipe")


def _fetch(url: str | UrlPath, target: Path, download: Download) -> str:
    from stemcli.web import WebFile  # which loads OpenSSL

    text = str(url)
    shown = shown_url(text)
    if is_web(text) and not _is_configured(text):
        with WebFile(text) as file:
            download.size = file.size
            require_small(file.size or 0, shown)
            _save(file.blocks(), target, shown, download)
            return file.name
    path = UrlPath(text)
    with suppress(StorageError, OSError):  # some servers give files, but not their sizes
        download.size = path.size or None
    require_small(download.size or 0, shown)
    try:
        _save(path.blocks(), target, shown, download)
    except FileNotFoundError as error:
        raise DecodeError(f"There is no file at {shown}. Check the URL") from error
    return ""


def _save(blocks: Iterable[bytes], target: Path, source: str, download: Download) -> None:
    """Write blocks to a new file, which is removed after an error."""
    try:
        with explain_copy_errors(target, source), target.open("xb") as file:
            for block in blocks:
                require_small(download.done + len(block), source)
                if download.stop.is_set():
                    raise KeyboardInterrupt
                download.done += file.write(block)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def require_small(size: int, source: str) -> None:
    """Refuse a song that is larger than :func:`input_limit`.

    Args:
        size: in bytes, so far or of the whole song.
        source: name of the song, for the message.

    Raises:
        StorageError: it is larger.
    """
    limit = input_limit()
    if size > limit:
        raise StorageError(
            f"{source} is larger than {limit / 2**30:g} GiB. To allow more, set {LIMIT} to a "
            "larger number of GiB"
        )


def _stdin_blocks(stream: BinaryIO) -> Iterator[bytes]:
    try:
        while block := stream.read(BLOCK):
            yield block
    except OSError as error:
        reason = error.strerror or error
        raise DecodeError(
            f"Standard input cannot be read ({reason}). Check the command before the pipe"
        ) from error


@contextmanager
def explain_copy_errors(target: Path, source: str) -> Iterator[None]:
    """Name the song and the temporary folder if a copy cannot be written.

    Args:
        target: the copy.
        source: name of the song, for the message.

    Raises:
        OutputError: the copy cannot be written.
    """
    try:
        yield
    except FileNotFoundError:  # of the source
        raise
    except OSError as error:
        raise OutputError(
            f"{source} cannot be copied to {target.parent} ({error.strerror or error}). Free some "
            "space there, or set TMPDIR to a folder on another disk"
        ) from error


def _is_configured(url: str) -> bool:
    """Whether the user has settings of fsspec for http or https, such as headers."""
    try:
        from fsspec.config import conf
    except ImportError:
        return False
    return bool(conf.get(url.partition(":")[0].lower()))
