"""What every decoder does."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
