"""The protocol of all decoders, and the message about missing samples."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stemcli.audio.containers.part import FilePart
from stemcli.audio.info import AudioInfo

Block = NDArray[np.float32]

_STEP = 65536
"""Frames per read when frames are skipped by decoding."""


class Decoder(Protocol):
    """An open audio file that is read from its beginning to its real end."""

    info: AudioInfo

    @property
    def loss(self) -> str:
        """A sentence about missing samples, valid at the end; ``""`` if none are missing.

        Samples are missing if the file has fewer than its format counts, or if a decoder skipped
        some.
        """
        ...

    def read(self, frames: int) -> Block:
        """Return the next frames, ``(n, channels)`` with n <= frames; n = 0 only at the end.

        Raises:
            DecodeError: decoding stops before the end of the stream.
        """
        ...

    def skip(self, frames: int) -> None:
        """Skip frames; at most to the end."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def skip_by_decoding(decoder: Decoder, frames: int) -> None:
    """Skip frames by decoding, for formats in which seeking is not sample-exact.

    Args:
        decoder: the decoder.
        frames: number of frames to skip; at most to the end.
    """
    while frames > 0 and (got := len(decoder.read(min(frames, _STEP)))):
        frames -= got


_SHORT = 0.01
"""Seconds; for shorter gaps the message gives samples, because both times would look the same."""


def missing_sound(
    part: FilePart, rate: int, decoded: int, counted: int | None, flaw: str = ""
) -> str:
    """Return a sentence about missing samples; ``""`` if none are missing.

    Args:
        part: the part of the file; times in the message count from the beginning of the file.
        rate: samples per second.
        decoded: decoded samples per channel of the part.
        counted: samples per channel by the format's own count; None if it has no count.
        flaw: a known defect of the part, independent of the count.
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
