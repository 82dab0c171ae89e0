"""A sliding buffer over an endless signal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
"""Samples first: ``(frames, ...)``."""


class SlidingBuffer:
    """The current part of a float32 signal ``(frames, *shape)``, addressed by absolute positions.

    It is a queue when read with :meth:`take`, and an accumulator for overlap-add with :meth:`add`.

    Attributes:
        start: position of the first frame in the buffer.
    """

    def __init__(self, *shape: int) -> None:
        self.start = 0
        self._kept = np.zeros((0, *shape), np.float32)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def end(self) -> int:
        """Position after the last frame."""
        return self.start + len(self._kept)

    def append(self, block: Block) -> None:
        """Append ``block`` after the last frame."""
        self._kept = np.concatenate([self._kept, block])

    def add(self, position: int, block: Block) -> None:
        """Add ``block`` to the signal at ``position``; the buffer grows with zeros as needed.

        Frames before position 0 are dropped.
        """
        block = block[max(0, -position) :]
        first = max(0, position) - self.start
        missing = first + len(block) - len(self._kept)
        if missing > 0:
            self.append(np.zeros((missing, *block.shape[1:]), np.float32))
        self._kept[first : first + len(block)] += block

    def at(self, positions: NDArray[np.int64]) -> Block:
        """The frames at these absolute positions."""
        return self._kept[positions - self.start]

    def drop_before(self, position: int) -> None:
        """Remove all frames before ``position``."""
        self.take(max(0, position - self.start))

    def take(self, frames: int) -> Block:
        """Remove up to ``frames`` from the front and return them."""
        taken = self._kept[:frames]
        self._kept = self._kept[frames:]
        self.start += len(taken)
        return taken
