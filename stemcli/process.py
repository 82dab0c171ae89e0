"""What a process sets up once: signals, environment variables, and things to close at its end."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import tempfile
import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from model_zoo.errors import OutputError
from model_zoo.files import has_home, temporary_home


class Closing:
    """A context manager that is itself and is closed, however the block ends."""

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
        """End it."""


@contextmanager
def environment(values: Mapping[str, str | None], *, replace: bool = False) -> Iterator[None]:
    """Set variables, and leave them afterwards as they were.

    Args:
        values: by name; None takes a variable away.
        replace: also where the user has set them.
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
    """Set TMPDIR, HOME and LOGNAME where the system has no temporary folder, home or user name.

    So it is in containers and services with a bare number for a user. torch, Ray, matplotlib and
    platformdirs ask for them and raise errors; what they keep at home lies below the temporary
    folder then.
    """
    _name_temporary_folder()
    if not has_home():
        with suppress(OutputError):  # whatever needs a home says so
            os.environ["HOME"] = str(temporary_home())
    try:
        getpass.getuser()
    except (ImportError, KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}" if hasattr(os, "getuid") else "user"


def _name_temporary_folder() -> None:
    """Where none of the usual folders may be written, take another that may."""
    with suppress(OSError):
        tempfile.gettempdir()
        return
    others = (os.environ.get("XDG_RUNTIME_DIR", ""), os.path.expanduser("~"), "/dev/shm")
    found = [folder for folder in others if os.path.isabs(folder) and os.access(folder, os.W_OK)]
    if found:
        os.environ["TMPDIR"] = tempfile.tempdir = found[0]


ENDING = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__
)
"""Ctrl-C, ``kill``, and a terminal that was closed."""


class JointInterrupt(KeyboardInterrupt):
    """All workers of a run are to leave it after the same step."""


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Let the block finish first; only then is a signal of the meantime obeyed.

    Outside the main thread, where Python delivers no signals, nothing has to be held.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def peak_memory() -> int:
    """Largest resident memory of this process in bytes; 0 where the system does not say.

    Linux counts into ``ru_maxrss`` of a new process what the one that started it held, but not into
    its high water mark.
    """
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
