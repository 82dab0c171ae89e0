"""Standard streams that may be closed, or lose their reader, without ending the work.

Daemons and ``>&-`` start a program with closed descriptors, where Python has None for
``sys.stdout``, and the next file that is opened would get the descriptor, and with it what C
libraries print. ``| head -1`` closes a pipe in the middle of the work.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO, cast

STDIN, STDOUT, STDERR = range(3)

_ON_WINDOWS = (errno.EINVAL,) if os.name == "nt" else ()  # what a closed pipe gives there
NO_READER = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, *_ON_WINDOWS})
"""A pipe without a reader, a terminal that was hung up, a descriptor that somebody closed."""


def secure_streams() -> None:
    """Open what is closed to nowhere, and let no reader that goes away end the program.

    Streams that others have put in place, such as those of a test, stay as they are.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        _occupy(descriptor)
    if sys.stdin is None:
        sys.stdin = _nowhere("r")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _nowhere("w"))
        elif stream is getattr(sys, f"__{name}__") and not _is_windows_console(stream):
            setattr(sys, name, _secured(stream, is_status=name == "stderr"))


def writer_on(descriptor: int, like: TextIO, *, is_status: bool, closefd: bool) -> TextIO:
    """Text that is written to a descriptor, as :class:`_Descriptor` does.

    Args:
        descriptor: to write to.
        like: its encoding is used; what that lacks is written as an escape sequence.
        is_status: see there.
        closefd: whether the descriptor is closed with the stream.
    """
    raw = _Descriptor(descriptor, is_status=is_status, closefd=closefd)
    is_line_buffered = is_status or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), like.encoding, "backslashreplace", line_buffering=is_line_buffered
    )


class _Descriptor(io.FileIO):
    """Writes to a descriptor, and to nowhere once that cannot be written to any more.

    Args:
        descriptor: to write to.
        is_status: whether nothing depends on what is written, so that no error is raised. Of
            results, a disk without room is an error, and a reader that went away is none.
        closefd: whether the descriptor is closed with the stream.
    """

    def __init__(self, descriptor: int, *, is_status: bool, closefd: bool) -> None:
        super().__init__(descriptor, "w", closefd=closefd)
        self._is_status = is_status

    def write(self, data: Any) -> int:
        """Write bytes; a pipe that takes none at the moment is waited for."""
        try:
            while (written := super().write(data)) is None:  # the descriptor does not block
                select.select([], [self.fileno()], [])
            return written
        except OSError as error:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            if self._is_status or error.errno in NO_READER:
                return memoryview(data).nbytes
            raise


def _nowhere(mode: str) -> TextIO:
    return cast(TextIO, open(os.devnull, mode, encoding="utf-8"))


def _secured(stream: TextIO, *, is_status: bool) -> TextIO:
    try:
        stream.flush()
        return writer_on(stream.fileno(), stream, is_status=is_status, closefd=False)
    except (OSError, ValueError):  # it is no descriptor
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
    """Only Python's own stream can write every letter to one."""
    return os.name == "nt" and stream.isatty()
