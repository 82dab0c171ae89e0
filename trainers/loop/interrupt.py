"""Ctrl-C and SIGTERM that never cut a step in half."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from stemcli.signals import ENDING


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
