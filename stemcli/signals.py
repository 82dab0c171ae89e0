"""Signals that end a program in peace."""

from __future__ import annotations

import signal

ENDING = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__
)
"""Ctrl-C, ``kill``, and a terminal that was closed."""
