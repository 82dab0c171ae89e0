"""A stretch of an endless signal: what was appended and not yet dropped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float32]
"""Samples first: ``(frames, ...)``."""


class SlidingBuffer:
    """A float32 signal ``(frames, *shape)`` that keeps its absolute positions while it moves on.

    It is a queue when read with :meth:`take`, and a canvas for overlap-add with :meth:`add`.

    Attributes:
        start: position of the first frame that is still kept.
    """

    def __init__(self, *shape: int) -> None:
        self.start = 0
        self._kept = np.zeros((0, *shape), np.float32)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def end(self) -> int:
        """Position behind the last frame."""
        return self.start + len(self._kept)

    def append(self, block: Block) -> None:
        """Put ``block`` behind the last frame."""
        self._kept = np.concatenate([self._kept, block])

    def add(self, position: int, block: Block) -> None:
        """Mix ``block`` in at ``position``; frames not there yet are made silent first.

        What would fall before position 0, where no signal begins yet, is left out.
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
        """Forget all frames before ``position``."""
        self.take(max(0, position - self.start))

    def take(self, frames: int) -> Block:
        """Remove up to ``frames`` from the front and return them."""
        taken = self._kept[:frames]
        self._kept = self._kept[frames:]
        self.start += len(taken)
        return taken
