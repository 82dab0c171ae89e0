"""The contract of every decoder, and the sentence for samples that a file lacks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stemcli.audio.containers.part import FilePart
from stemcli.audio.info import AudioInfo

Block = NDArray[np.float32]

_STEP = 65536
"""Frames that are decoded at once in order to pass over them."""


class Decoder(Protocol):
    """An open sound file that is read from its beginning to its real end."""

    info: AudioInfo

    @property
    def loss(self) -> str:
        """At the end: a sentence about samples that are missing; ``""`` for none.

        The format counts them and the file lacks them, or a decoder passed over them.
        """
        ...

    def read(self, frames: int) -> Block:
        """The next frames, ``(n, channels)`` with n <= frames; n = 0 only at the end.

        Raises:
            DecodeError: decoding stops before the end of the stream.
        """
        ...

    def skip(self, frames: int) -> None:
        """Go forward; beyond the end means to the end."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def skip_by_decoding(decoder: Decoder, frames: int) -> None:
    """Go forward by decoding, where seeking is not exact to the sample.

    Args:
        decoder: what is read.
        frames: how many to pass over; beyond the end means to the end.
    """
    while frames > 0 and (got := len(decoder.read(min(frames, _STEP)))):
        frames -= got


_SHORT = 0.01
"""Seconds: below this, the sentence gives samples, because both times would look the same."""


def missing_sound(
    part: FilePart, rate: int, decoded: int, counted: int | None, flaw: str = ""
) -> str:
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
