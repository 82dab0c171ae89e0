"""Standard streams that survive a closed descriptor, and C libraries kept quiet on stderr.

Daemons and ``>&-`` start a program with closed descriptors. Python then sets ``sys.stdout`` to
None, and the next file that is opened gets the free descriptor, and with it the output of C
libraries. ``| head -1`` closes a pipe during the work; ``> results.json`` may fill a disk.

The MP3 decoder inside libsndfile prints notes on stderr, in the middle of messages and progress
bars. They are discarded; output of Python code is not affected.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

STDIN, STDOUT, STDERR = range(3)

STANDARD_STREAM = "-"
"""Stands for standard input or output in the place of a file."""

_ON_WINDOWS = (errno.EINVAL,) if os.name == "nt" else ()  # error of a closed pipe on Windows
NO_READER = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, *_ON_WINDOWS})
"""Errors of a pipe without a reader, a terminal that hung up, and a closed descriptor."""

LOST = "Error: Cannot write to standard output ({why}). The work continues, but its output is lost."


def secure_streams() -> None:
    """Connect closed streams to the null device, and keep write errors from ending the program.

    Streams that other code has replaced, such as those of a test, stay as they are.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        _occupy(descriptor)
    if sys.stdin is None:
        sys.stdin = _nowhere("r")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nowhere("w"))
        elif stream is not getattr(sys, f"__{name}__"):
            continue
        elif _is_windows_console(stream):
            # The null device counts as a console too, but has the encoding of a file.
            stream.reconfigure(errors="backslashreplace")
        else:
            setattr(sys, name, _secured(stream, is_status=name == "stderr"))


def is_incomplete(stream: TextIO) -> bool:
    """Flush ``stream``; return whether output was lost, e.g. on a full disk.

    A reader that closed the pipe does not count as loss.
    """
    stream.flush()
    return bool(getattr(getattr(getattr(stream, "buffer", None), "raw", None), "has_failed", False))


def writer_on(descriptor: int, like: TextIO, *, is_status: bool, closefd: bool) -> TextIO:
    """A text stream over a :class:`_Descriptor`.

    Args:
        descriptor: to write to.
        like: stream whose encoding is used; characters that it lacks are written as escapes.
        is_status: see :class:`_Descriptor`.
        closefd: whether the descriptor is closed with the stream.
    """
    raw = _Descriptor(descriptor, is_status=is_status, closefd=closefd)
    is_line_buffered = is_status or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), like.encoding, "backslashreplace", line_buffering=is_line_buffered
    )


class _Descriptor(io.FileIO):
    """Writes to a descriptor; after a failure, switches to the null device.

    Args:
        descriptor: to write to.
        is_status: whether to ignore errors. Otherwise lost results are reported once on standard
            error.
        closefd: whether the descriptor is closed with the stream.

    Attributes:
        has_failed: whether results were lost.
    """

    def __init__(self, descriptor: int, *, is_status: bool, closefd: bool) -> None:
        super().__init__(descriptor, "w", closefd=closefd)
        self._is_status = is_status
        self.has_failed = False

    def write(self, data: Any) -> int:
        """Write bytes; wait if a pipe is full."""
        try:
            while (written := super().write(data)) is None:  # the descriptor does not block
                select.select([], [self.fileno()], [])
            return written
        except OSError as error:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            if not self._is_status and error.errno not in NO_READER:
                self.has_failed = True
                print(LOST.format(why=error.strerror), file=sys.stderr)
            return memoryview(data).nbytes


def _nowhere(mode: str) -> TextIO:
    return cast(TextIO, open(os.devnull, mode, encoding="utf-8"))


def _secured(stream: TextIO, *, is_status: bool) -> TextIO:
    try:
        stream.flush()
        return writer_on(stream.fileno(), stream, is_status=is_status, closefd=False)
    except (OSError, ValueError):  # not connected to a descriptor
        return stream


def _occupy(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened == descriptor:
            os.set_inheritable(descriptor, True)
        else:
            os.dup2(opened, descriptor)
            os.close(opened)


def _is_windows_console(stream: TextIO) -> bool:
    """Whether a stream is a Windows console, for which only Python's own stream handles Unicode."""
    return os.name == "nt" and stream.isatty()


@contextmanager
def quiet_stderr(active: bool = True) -> Iterator[None]:
    """Redirect descriptor 2 to the null device, and ``sys.stderr`` to its former target.

    Does nothing if ``sys.stderr`` is not descriptor 2, as in tests and notebooks.
    """
    if not active or _descriptor() != STDERR:
        yield
        return
    own = sys.stderr
    own.flush()
    with writer_on(os.dup(STDERR), own, is_status=True, closefd=True) as copy:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), STDERR)
        sys.stderr = copy
        try:
            yield
        finally:
            sys.stderr = own
            copy.flush()
            os.dup2(copy.fileno(), STDERR)


def _descriptor() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return -1
