"""The sentence that reports samples which a file should have and lacks."""

from __future__ import annotations

from stemcli.audio.part import Part

_SHORT = 0.01
"""Seconds: below this, the sentence gives samples, because both times would look the same."""


def missing_sound(part: Part, rate: int, decoded: int, counted: int | None, flaw: str = "") -> str:
    """Report missing samples in a sentence; ``""`` where none are missing.

    Args:
        part: where the sound lies; times count from the beginning of its file.
        rate: samples per second.
        decoded: samples per channel that were decoded of the part.
        counted: samples per channel by the format's own count; None where it has no count.
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
