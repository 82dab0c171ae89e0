"""What is said when a file ends before its sound does."""

from __future__ import annotations

from stemcli.audio.part import Part

_SHORT = 0.01
"""Seconds: where less is missing, samples are named, since both times would look the same."""


def cut_short(part: Part, rate: int, decoded: int, counted: int | None, flaw: str = "") -> str:
    """A sentence when samples are missing, else an empty one.

    Args:
        part: where the sound lies; times are told from the beginning of its file.
        rate: samples per second.
        decoded: samples per channel from the beginning of the part to the end of its sound.
        counted: as many should be there by the format's own count; None where it counts none.
        flaw: what is wrong with the part, whatever it counts.
    """
    ends = f"its sound ends at {part.before + decoded / rate:.2f} s"
    missing = (counted or 0) - decoded
    if missing > _SHORT * rate:
        total = part.total or part.before + (counted or 0) / rate
        return f"{ends} of {total:.2f} s: the file seems to be cut off"
    if missing > 0:
        samples = "1 sample is" if missing == 1 else f"{missing} samples are"
        return f"{ends}, and {samples} missing: the file seems to be cut off"
    if part.breaks_off and flaw:
        return f"{ends}: the file seems to be cut off ({flaw})"
    return f"{ends}, and some of it may be lost: {flaw}" if flaw else ""
