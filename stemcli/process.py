"""Process-wide helpers: environment variables, waits, held signals, objects that are closed."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import sys
import tempfile
import threading
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from model_zoo.errors import OutputError
from model_zoo.files import has_home, temporary_home

POLL = 0.1
"""Seconds between checks; Ctrl-C takes that long on Windows."""

T = TypeVar("T")


def finished(
    futures: Iterable[Future[T]], ended: threading.Event | None = None
) -> Generator[Future[T]]:
    """Yield futures as they finish; Ctrl-C in the main thread ends the wait.

    On Windows, Ctrl-C does not wake a thread that waits without a time limit
    (``PyThread_acquire_lock_timed`` in CPython's thread_nt.h). No future is kept here.

    Args:
        futures: are iterated over before the first wait.
        ended: when it is set, the wait ends with a KeyboardInterrupt.
    """
    done: SimpleQueue[Future[T]] = SimpleQueue()
    count = 0
    for future in futures:
        future.add_done_callback(done.put)
        count += 1
        del future
    while count:
        with suppress(Empty):
            yield done.get(timeout=POLL)
            count -= 1
        if ended and ended.is_set():
            raise KeyboardInterrupt


class Closing:
    """A context manager that calls :meth:`close` at the end of the block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release all resources."""


@contextmanager
def environment(values: Mapping[str, str | None], *, replace: bool = False) -> Iterator[None]:
    """Set environment variables, and restore them afterwards.

    Args:
        values: by name; None removes a variable.
        replace: whether to replace variables that are already set.
    """
    before = {name: os.environ.get(name) for name in values}
    chosen = [name for name in values if replace or before[name] is None]
    _set({name: values[name] for name in chosen})
    try:
        yield
    finally:
        _set({name: before[name] for name in chosen})


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def complete_environment() -> None:
    """Set TMPDIR, HOME and LOGNAME if the system has no temporary folder, home or user name.

    This is the case in containers and services that run under a bare user number. torch, Ray,
    matplotlib and platformdirs would raise errors; with a substitute home, their files are below
    the temporary folder.
    """
    _name_temporary_folder()
    if not has_home():
        with suppress(OutputError):  # code that needs a home reports the error
            os.environ[HOME] = str(temporary_home())
    try:
        getpass.getuser()
    except (ImportError, KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


HOME = "USERPROFILE" if os.name == "nt" else "HOME"
"""The variable that names the home folder."""


def find_program(name: str) -> str | None:
    """Path of a program on PATH; None if there is none.

    Windows would take one in the current folder first, where songs from elsewhere may be.
    """
    if os.name != "nt":
        return shutil.which(name)
    folders = (Path(folder.strip('"')) for folder in os.get_exec_path())
    files = (folder / f"{name}.exe" for folder in folders if folder.is_absolute())
    return next((str(file) for file in files if file.is_file()), None)


def _name_temporary_folder() -> None:
    """Set TMPDIR to a writable folder if none of the usual folders is writable."""
    with suppress(OSError):
        tempfile.gettempdir()
        return
    others = (os.environ.get("XDG_RUNTIME_DIR", ""), os.path.expanduser("~"), "/dev/shm")
    writable = [folder for folder in others if os.path.isabs(folder) and os.access(folder, os.W_OK)]
    if writable:
        os.environ["TMPDIR"] = tempfile.tempdir = writable[0]


ENDING = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if name in signal.Signals.__members__
)
"""Ctrl-C, ``kill``, a terminal that was closed, and Ctrl-Break on Windows."""


class JointInterrupt(KeyboardInterrupt):
    """Stops all workers of a run after the same step."""


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Delay signals until the block has finished.

    Does nothing outside the main thread, because Python delivers signals to the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def peak_memory() -> int:
    """Largest resident memory of this process in bytes; 0 if the system does not report it.

    Windows calls it the peak working set. Linux includes the memory of the parent process in
    ``ru_maxrss`` of a new process, but not in its high-water mark.
    """
    if sys.platform == "win32":
        return _peak_working_set()
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _peak_working_set() -> int:
    """Peak working set in bytes, from the Windows API; 0 if it refuses."""
    import ctypes

    class Counters(ctypes.Structure):
        """``PROCESS_MEMORY_COUNTERS`` (psapi.h)."""

        _fields_ = (
            ("cb", ctypes.c_uint32),
            ("PageFaultCount", ctypes.c_uint32),
            ("PeakWorkingSetSize", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 7),
        )

    kernel = ctypes.CDLL("kernel32")  # on x86-64 and ARM the same as WinDLL
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    counters = Counters(cb=ctypes.sizeof(Counters))
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    is_known = kernel.K32GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
    return int(counters.PeakWorkingSetSize) if is_known else 0
