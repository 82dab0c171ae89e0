"""Runs ffmpeg so that it ends with this process, cannot hang, and keeps its log short."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO

from model_zoo.errors import FfmpegMissingError
from stemcli.process import Closing

STALL_TIMEOUT_S = 300.0
"""Seconds without a byte in or out after which ffmpeg counts as stalled.

A film on a slow disk whose audio is stored behind its pictures takes a minute or two.
"""

LOOK = 0.2
"""Seconds between two checks of a running ffmpeg."""

MOST_LOG = 2**20
"""Bytes of the log to keep: the first ones describe the file and the first damage."""

KILL_TIMEOUT_S = 5.0
"""Seconds to wait for a killed process; it may hang in a read from a dead network disk."""


_POOL = threading.local()
"""``ended`` is the event of the pool that the current thread belongs to."""


@contextmanager
def decoding_pool(threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A thread pool for opening audio files that ends at once on Ctrl-C and other signals.

    An ordinary pool waits for its threads, which wait for ffmpeg. This pool kills every ffmpeg that
    its threads run or are about to start, and cancels pending work.

    Args:
        threads: number of threads; None for the default of :class:`ThreadPoolExecutor`.
    """
    ended = threading.Event()
    pool = ThreadPoolExecutor(threads, initializer=setattr, initargs=(_POOL, "ended", ended))
    try:
        yield pool
    except (KeyboardInterrupt, SystemExit):
        # Stays set: a signal during submit leaves a thread that shutdown does not wait for.
        ended.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class FfmpegProcess(Closing):
    """A running ffmpeg that reads from or writes to this process through a pipe.

    It is killed when this process ends (on Linux even by SIGKILL) and when ``ended`` is set. It
    runs in its own process group, so that Ctrl-C in a terminal reaches only this process: an
    ffmpeg that ended first would make its song look damaged.

    Args:
        command: the program and its arguments.
        feeds: True to write to its standard input; False to read its standard output.
        ended: when it is set, ffmpeg is killed and reading raises KeyboardInterrupt.

    Attributes:
        log: standard error of ffmpeg, at most :data:`MOST_LOG` bytes.
        stalled: whether it was killed because no data moved for :data:`STALL_TIMEOUT_S` seconds.

    Raises:
        FfmpegMissingError: the program cannot be started.
    """

    def __init__(
        self, command: Sequence[str], *, feeds: bool = False, ended: threading.Event | None = None
    ) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.stalled = False
        self._ended = [each for each in (ended, getattr(_POOL, "ended", None)) if each]
        self._wait: object | None = None  # a new object for each wait for the pipe
        self._looks: tuple[object | None, int] = (None, 0)  # number of checks during one wait
        self._over = threading.Event()
        try:
            self._process, self._hangup = _start(command, self.log, feeds=feeds)
        except OSError as error:
            self.log.close()
            reason = error.strerror or error
            raise FfmpegMissingError(f"{command[0]} cannot be started: {reason}") from error
        # A weak reference, so that the thread does not keep an abandoned process alive.
        arguments = (weakref.ref(self), self._over)
        self._watcher = threading.Thread(target=_watch, args=arguments, daemon=True, name="ffmpeg")
        self._watcher.start()

    def read(self, count: int) -> bytes:
        """Return 1 to ``count`` bytes of its output; no bytes at the end.

        Raises:
            KeyboardInterrupt: ``ended`` was set.
        """
        assert self._process.stdout, "opened for reading"
        with self._waiting():
            return self._process.stdout.read1(count)  # type: ignore[attr-defined]

    def write(self, data: bytes) -> None:
        """Write all of ``data`` to its input.

        Raises:
            BrokenPipeError: ffmpeg has closed its input.
            KeyboardInterrupt: ``ended`` was set.
        """
        assert self._process.stdin, "opened for writing"
        with self._waiting():
            self._process.stdin.write(data)

    def finish(self) -> int:
        """Close its input, wait for its end, and return the exit status."""
        with self._waiting():
            if self._process.stdin:
                with suppress(BrokenPipeError):
                    self._process.stdin.close()
            return self._process.wait()

    def close(self) -> None:
        """Kill the process and release everything."""
        self._over.set()
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout, self._hangup):
            if pipe:
                with suppress(BrokenPipeError):  # the buffer cannot be flushed any more
                    pipe.close()
        self._watcher.join()
        self.log.close()

    def _kill(self) -> None:
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_TIMEOUT_S)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._wait = object()
        try:
            yield
        except BrokenPipeError:
            if not self._is_ended:
                raise
        finally:
            self._wait = None
        if self._is_ended:
            raise KeyboardInterrupt

    @property
    def _is_ended(self) -> bool:
        return any(each.is_set() for each in self._ended)

    def look(self) -> None:
        """Kill the process if it must end or has stalled, and cut its log.

        Checks are counted instead of seconds, so that time does not run while this process is
        stopped.
        """
        wait, (before, looks) = self._wait, self._looks
        self._looks = (wait, looks + 1 if wait is before is not None else 0)
        if self._looks[1] * LOOK > STALL_TIMEOUT_S:
            self.stalled = True
        if self.stalled or self._is_ended:
            self._process.kill()
        with suppress(OSError):  # Windows may refuse to cut a file that another process writes
            if os.fstat(self.log.fileno()).st_size > 2 * MOST_LOG:
                os.truncate(self.log.fileno(), MOST_LOG)


def _watch(held: weakref.ref[FfmpegProcess], over: threading.Event) -> None:
    while not over.wait(LOOK):
        process = held()
        if process is None:
            return
        process.look()
        del process


def _start(
    command: Sequence[str], log: IO[bytes], *, feeds: bool
) -> tuple[subprocess.Popen[bytes], IO[bytes] | None]:
    """Start ffmpeg and a pipe; Linux kills ffmpeg when this process ends or closes the pipe."""
    held, hangup = os.pipe()
    try:
        process = _popen(command, log, held, feeds=feeds)
    except BaseException:
        os.close(hangup)
        raise
    finally:
        os.close(held)
    return process, os.fdopen(hangup, "wb", 0)


def _creation_flags() -> int:
    """Keep Ctrl-C from ffmpeg on Windows, and a console window off the screen."""
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW


def _popen(
    command: Sequence[str], log: IO[bytes], held: int, *, feeds: bool
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if feeds else subprocess.PIPE,
        stderr=log,
        process_group=None if sys.platform == "win32" else 0,
        pass_fds=() if sys.platform == "win32" else (held,),
        creationflags=_creation_flags(),
    )
    try:
        _appends(log)
        _kill_at_hangup(held, process.pid)
    except BaseException:
        with process:  # closes its pipes and waits for it
            process.kill()
        raise
    return process


def _appends(log: IO[bytes]) -> None:
    """Set O_APPEND, so that the log stays short after it was cut."""
    if sys.platform != "win32":
        import fcntl

        fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)


def _kill_at_hangup(held: int, pid: int) -> None:
    """Make Linux send SIGKILL to ``pid`` when the other end of the pipe is closed.

    ``PR_SET_PDEATHSIG`` would fire when the thread that started the process ends, and needs code
    between fork and exec. The signal of a pipe (fcntl(2), F_SETSIG) is sent when the last process
    that holds the other end is gone, however it ended. If this process is killed between the start
    and this call, ffmpeg ends at its first write.
    """
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a container may forbid it
            fcntl.fcntl(held, fcntl.F_SETOWN, pid)
            fcntl.fcntl(held, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(held, fcntl.F_SETFL, fcntl.fcntl(held, fcntl.F_GETFL) | fcntl.FASYNC)
