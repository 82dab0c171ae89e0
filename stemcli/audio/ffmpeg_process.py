"""An ffmpeg process that ends with this one, cannot hang forever and keeps its log short."""

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

A film on a slow disk whose sound lies behind its pictures takes a minute or two.
"""

LOOK = 0.2
"""Seconds between two looks at a running ffmpeg."""

MOST_LOG = 2**20
"""Bytes of log that are kept, the first ones: they describe the file and the first damage."""

KILL_TIMEOUT_S = 5.0
"""Seconds for a killed process to go; one that waits for a dead network disk may not."""


_ENDING = threading.Event()
"""Set while a signal ends this process: a thread waiting for ffmpeg raises KeyboardInterrupt."""


@contextmanager
def decoding_pool(threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that open sound files and end at once on Ctrl-C and other signals.

    An ordinary pool waits for its threads, and they wait for ffmpeg. This one ends every ffmpeg
    that runs or is about to start, and cancels what has not begun.

    Args:
        threads: how many; as many as the processors allow when None.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    except (KeyboardInterrupt, SystemExit):
        _ENDING.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        _ENDING.clear()


class FfmpegProcess(Closing):
    """A running ffmpeg whose standard output is read or whose standard input is written.

    It ends when this process ends (on Linux even by SIGKILL) and when ``ended`` is set. It has a
    process group of its own, so that Ctrl-C in a terminal reaches only us: an ffmpeg that ended
    first would make its song look damaged.

    Args:
        command: the program and its arguments.
        feeds: whether we write to it; else we read from it.
        ended: when it is set, ffmpeg is ended and reading raises KeyboardInterrupt.

    Attributes:
        log: what it writes to standard error, :data:`MOST_LOG` bytes at most.
        stalled: whether it was ended because nothing moved for :data:`STALL_TIMEOUT_S` seconds.

    Raises:
        FfmpegMissingError: the program cannot be started.
    """

    def __init__(
        self, command: Sequence[str], *, feeds: bool = False, ended: threading.Event | None = None
    ) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.stalled = False
        self._asked = ended
        self._wait: object | None = None  # a new one each time that we wait for it
        self._looks: tuple[object | None, int] = (None, 0)  # at the same wait
        self._over = threading.Event()
        try:
            self._process, self._hangup = _start(command, self.log, feeds=feeds)
        except OSError as error:
            self.log.close()
            reason = error.strerror or error
            raise FfmpegMissingError(f"{command[0]} cannot be started: {reason}") from error
        # A weak reference, so that the thread does not keep a forgotten process running.
        arguments = (weakref.ref(self), self._over)
        self._watcher = threading.Thread(target=_watch, args=arguments, daemon=True, name="ffmpeg")
        self._watcher.start()

    def read(self, count: int) -> bytes:
        """What it has written, ``count`` bytes at most and one at least; none at its end.

        Raises:
            KeyboardInterrupt: ``ended`` was set.
        """
        assert self._process.stdout, "it is read from"
        with self._waiting():
            return self._process.stdout.read1(count)  # type: ignore[attr-defined]

    def write(self, data: bytes) -> None:
        """Give it all of ``data``.

        Raises:
            BrokenPipeError: it takes no more.
            KeyboardInterrupt: ``ended`` was set.
        """
        assert self._process.stdin, "it is written to"
        with self._waiting():
            self._process.stdin.write(data)

    def finish(self) -> int:
        """Tell it that no more data comes, wait for its end, and give its exit status."""
        with self._waiting():
            if self._process.stdin:
                with suppress(BrokenPipeError):
                    self._process.stdin.close()
            return self._process.wait()

    def close(self) -> None:
        """End it, whatever it does."""
        self._over.set()
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout, self._hangup):
            if pipe:
                with suppress(BrokenPipeError):  # what is in a buffer has nowhere to go
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
        return _ENDING.is_set() or (self._asked is not None and self._asked.is_set())

    def look(self) -> None:
        """End it where that was asked for or nothing moves, and keep its log short.

        Looks are counted and not time: none are taken while this process itself is stopped.
        """
        wait, (before, looks) = self._wait, self._looks
        self._looks = (wait, looks + 1 if wait is before is not None else 0)
        if self._looks[1] * LOOK > STALL_TIMEOUT_S:
            self.stalled = True
        if self.stalled or self._is_ended:
            self._process.kill()
        with suppress(OSError):  # Windows may not let a file be cut that another process writes
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
    """The process, and a pipe: when that is closed, also by our end, Linux kills the process."""
    held, hangup = os.pipe()
    try:
        process = _popen(command, log, held, feeds=feeds)
    except BaseException:
        os.close(hangup)
        raise
    finally:
        os.close(held)
    return process, os.fdopen(hangup, "wb", 0)


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
    """Writers go on at the end of the file, so that one that is cut off stays short."""
    if sys.platform != "win32":
        import fcntl

        fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)


def _kill_at_hangup(held: int, pid: int) -> None:
    """Let Linux send SIGKILL to ``pid`` when the other end of the pipe is closed.

    ``PR_SET_PDEATHSIG`` would do it when the thread that started the process ends, and needs code
    between fork and exec. The signal of a pipe (fcntl(2), F_SETSIG) comes when the last process
    that holds the other end is gone, however it ended. One that is killed in the moment between
    the start and this call leaves an ffmpeg that ends with its first byte.
    """
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # a container may forbid it
            fcntl.fcntl(held, fcntl.F_SETOWN, pid)
            fcntl.fcntl(held, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(held, fcntl.F_SETFL, fcntl.fcntl(held, fcntl.F_GETFL) | fcntl.FASYNC)
