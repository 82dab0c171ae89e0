"""Helper processes, which end when their parent says so and at no signal from elsewhere.

Ctrl-C, ``timeout``, Slurm and ``kill -- -GROUP`` signal a whole group of processes. What that means
is for the main process to decide: it saves the run first, and needs its helpers until then.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch

from stemcli.signals import ENDING


@contextmanager
def shielded() -> Iterator[None]:
    """Keep the signals that end a program from processes that start in the block.

    What those start in turn, such as an ffmpeg that decodes a song, does not get them either.
    Windows has no such groups.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_helper(_: int) -> None:
    """Make a process that started :func:`shielded` a helper of one thread.

    Helpers are processes so that they compute side by side; threads of each on top would only be
    in each other's way.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        # Ignoring them would forget one of the parent's that is waiting.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    else:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    sys.excepthook = _tell


def _obey_parent(parent: int) -> None:
    """End at the SIGTERM with which torch ends a helper that hangs after the run is over."""
    while True:
        # No handler of Python's is told who sent a signal.
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
            os._exit(0)


def _end_with_parent() -> None:
    """End when the parent does, however: after SIGKILL it cannot tell its helpers.

    torch's own watch is kept between two batches only, and a helper whose batches nobody takes
    would wait for ever at its end.
    """
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what went wrong, but for a parent that ended while a batch was handed to it."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
