"""Downloads public files into the cache, where a file has its name only if its SHA-256 is right.

A file arrives in a hidden file beside its place, which a later run completes. One process at a time
downloads a file. The cache and a mirror have the same layout: ``SHA256/NAME``.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from model_zoo.catalogue.remote_file import RemoteFile
from model_zoo.catalogue.transport import (
    MIRROR_VARIABLE,
    POLL,
    AddressError,
    PartialFile,
    Report,
    WrongContentError,
    another_file,
    explain_writing,
    receive,
)
from model_zoo.errors import ChecksumError, OutputError, StorageError, UsageError
from model_zoo.files import (
    CACHE_VARIABLE,
    cache_home,
    is_reserved_on_windows,
    replace_file,
    sha256,
)

OFFLINE_VARIABLES = ("STEM_OFFLINE", "HF_HUB_OFFLINE")
"""Environment variables that forbid downloads."""

PAUSES = (0.5, 2.0, 5.0)
"""Seconds before an address that has sent data is asked for the rest; each new byte begins them
again."""

MEGABYTE = 10**6  # bytes


def download(file: RemoteFile, *, on_progress: Report | None = None) -> Path:
    """Download a file into the cache, unless it is there.

    Args:
        file: addresses, size and SHA-256.
        on_progress: called several times a second with the bytes that are in the cache and the size
            of the file, also while another process downloads it.

    Returns:
        Its path. The content has the right SHA-256.

    Raises:
        StorageError: no address gives the file, or downloads are forbidden.
        ChecksumError: all addresses have another file.
        OutputError: the cache cannot be written.
        UsageError: STEM_MIRROR is not an address.
    """
    path = cached_path(file)
    if _is_whole(path, file):
        return path
    refuse_offline(file)
    report = on_progress or (lambda done, total: None)
    with held([file], report):
        if not _is_whole(path, file):
            _download(file, path, report)
    return path


def cached_path(file: RemoteFile) -> Path:
    """Place of a file in the cache, whether or not it is there."""
    name = re.sub(r"[^\w.+-]", "_", file.name)
    safe = f"_{name}" if is_reserved_on_windows(name) or name.startswith(".") else name
    return _downloads() / file.sha256 / safe


def addresses(file: RemoteFile) -> tuple[str, ...]:
    """Addresses in the order in which they are tried: the user's mirror, then those of the file.

    Raises:
        UsageError: STEM_MIRROR is not an address.
    """
    text = os.environ.get(MIRROR_VARIABLE, "")
    if not text:
        return file.addresses
    if not text.startswith(("http://", "https://")) or not _host(text):
        raise UsageError(
            f"{MIRROR_VARIABLE} is {text!r}. Set it to an http or https address, e.g. "
            f"{MIRROR_VARIABLE}=https://mirror.example/weights"
        )
    base, name = text.rstrip("/"), quote(file.name)
    return (f"{base}/{file.sha256}/{name}", f"{base}/{name}", *file.addresses)


def refuse_offline(file: RemoteFile) -> None:
    """Refuse a download if an environment variable forbids it.

    Raises:
        StorageError: one does.
    """
    for variable in OFFLINE_VARIABLES:
        value = os.environ.get(variable, "")
        if value.strip().lower() in ("1", "true", "yes", "on"):
            raise StorageError(
                f"{file.name} is not in the cache, and {variable}={value} forbids downloads. "
                f"Unset {variable}, or copy the file to {cached_path(file)}"
            )


@contextmanager
def held(files: Iterable[RemoteFile], report: Report) -> Iterator[None]:
    """Keep other processes from downloading or removing files; first wait until none does.

    The system releases the locks of a process that is killed. Their empty files stay, because
    removing a lock that another process waits for lets two of them pass.

    Args:
        files: locked in the order of their SHA-256, so that processes do not wait for each other.
        report: called while another process downloads one of them, with what it has done.

    Raises:
        OutputError: the cache cannot be written.
    """
    with ExitStack() as locks:
        for file in sorted(files, key=lambda each: each.sha256):
            locks.enter_context(_held(file, report))
        yield


def cached(file: RemoteFile) -> list[Path]:
    """What the cache has of a file: all of it, or what has arrived."""
    path = cached_path(file)
    return [each for each in (path, _part(path)) if each.is_file()]


def discard(file: RemoteFile) -> None:
    """Remove a file from the cache, and what has arrived of it.

    Raises:
        OutputError: it cannot be removed.
    """
    path = cached_path(file)
    with explain_writing(path):
        for each in (path, _part(path)):
            each.unlink(missing_ok=True)
        with suppress(OSError):  # other files are in it, or it is gone
            path.parent.rmdir()


@contextmanager
def _held(file: RemoteFile, report: Report) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path = _downloads() / f"{file.sha256}.lock"
    with explain_writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # A singleton can be taken again by the thread that has it.
        lock = FileLock(path, is_singleton=True)
        while not lock.is_locked:
            with suppress(Timeout):
                lock.acquire(timeout=POLL)
                break
            report(_size(_part(cached_path(file))), file.size or None)
        else:
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(file: RemoteFile, path: Path, report: Report) -> None:
    """Try all addresses; the file is locked."""
    part = _part(path)
    with explain_writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it was damaged, or it would not be downloaded
    _require_room(file, part)
    failures: dict[str, AddressError] = {}
    for address in addresses(file):
        try:
            _complete(address, file, part, report)
        except AddressError as failed:
            failures[_host(address)] = failed
        else:
            with explain_writing(path):
                replace_file(part, path)
            return
    raise _all_failed(file, failures, _size(part))


def _complete(address: str, file: RemoteFile, part: Path, report: Report) -> None:
    """Complete a part with one address, from the first byte if its beginning was wrong."""
    while True:
        was_begun = _size(part) > 0
        try:
            _fill(address, file, part, report)
            found = sha256(part)
            if found == file.sha256:
                return
            raise WrongContentError(another_file(found, file.sha256))
        except WrongContentError:
            part.unlink(missing_ok=True)
            if not was_begun:
                raise


def _fill(address: str, file: RemoteFile, path: Path, report: Report) -> None:
    """Ask an address for the rest of a part, again if it has sent some of it."""
    most = _size(path)
    pauses: Iterator[float] = iter(())
    while not file.size or _size(path) < file.size:
        part = PartialFile(path, file.size, file.largest)
        try:
            return receive(address, part, file.sha256, report)
        except AddressError as failed:
            if part.size > most:
                most, pauses = part.size, iter(PAUSES)
            pause = next(pauses, None)
            if pause is None or not failed.may_continue:
                raise
            time.sleep(pause)


def _all_failed(
    file: RemoteFile, failures: dict[str, AddressError], arrived: int
) -> StorageError | ChecksumError:
    """The error after the last address, with what each server did."""
    what = "; ".join(f"{host} {failed.reason}" for host, failed in failures.items())
    advice = [*failures.values()][-1].advice
    if arrived:
        advice = f"Run it again to go on after {arrived / MEGABYTE:,.1f} MB"
    are_wrong = all(isinstance(failed, WrongContentError) for failed in failures.values())
    kind = ChecksumError if are_wrong else StorageError
    return kind(f"{file.name} cannot be downloaded: {what}. {advice}")


def _require_room(file: RemoteFile, part: Path) -> None:
    missing = file.size - _size(part)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise OutputError(
            f"{file.name} needs {missing / MEGABYTE:,.0f} MB, and {part.parent.parent} has "
            f"{free / MEGABYTE:,.0f} MB free. Free some space, or set {CACHE_VARIABLE} to a folder "
            "on another disk"
        )


def _is_whole(path: Path, file: RemoteFile) -> bool:
    if not path.is_file() or _size(path) != (file.size or _size(path)):
        return False
    return sha256(path) == file.sha256


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _downloads() -> Path:
    return cache_home() / "downloads"


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _host(address: str) -> str:
    """Server of an address, without the user name and password that it may have; else empty."""
    try:
        parts = urlsplit(address)
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return ""
