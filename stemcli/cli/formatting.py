"""Formats numbers, paths and examples for people."""

from __future__ import annotations

SLOWEST = 0.05
"""Times real time; lower speeds would be shown as 0.0x and mean that other work took the time."""


def clock(seconds: float) -> str:
    """Seconds as ``0:07``, ``3:21`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def times_real_time(audio_seconds: float, wall_seconds: float) -> str:
    """Seconds of music per second of work as ``4.3x``; empty if not meaningful."""
    if audio_seconds <= 0 or wall_seconds <= 0:
        return ""
    speed = audio_seconds / wall_seconds
    if speed < SLOWEST:
        return ""
    return f"{speed:.0f}x" if speed >= 100 else f"{speed:.1f}x"


def size(count: float) -> str:
    """Bytes as ``812 B``, ``19.3 MB`` or ``1.2 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def memory(count: int) -> str:
    """Bytes as :func:`size` shows them; a dash if nothing was measured."""
    return size(count) if count else "–"


def millions(count: int) -> str:
    """A number of parameters as ``873 k`` or ``4.8 M``."""
    return f"{count / 1e6:.1f} M" if count >= 1_000_000 else f"{count / 1e3:.0f} k"


def examples(*lines: tuple[str, str]) -> str:
    """The end of a help text: commands, each with its meaning below it."""
    shown = (f"  {typed}\n      {meaning}" for typed, meaning in lines)
    return "\b\nExamples:\n" + "\n".join(shown)
