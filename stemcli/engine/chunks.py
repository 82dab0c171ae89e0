"""Where a song is cut into chunks, and how chunks are weighed when they are joined.

Pure functions of lengths; nothing here touches audio. Two grids with different offsets::

    song                 |----------------------------------|
    chunks     [  .======.  ]
                      [  .======.  ]
                           [  .======.  ]   ...                    offset 0
           [  .======.  ]
                  [  .======.  ]            ...                    offset 4

``=`` is the core of a chunk, one hop long; ``.`` is the context on both sides. The cores of one
grid tile the song, so every sample lies in a core and has real neighbours around it; only beyond
the ends of the song is the context made up, by reflection.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ChunkPlan:
    """Lengths in samples at the rate of the network.

    Attributes:
        length: of one chunk.
        hop: from one chunk to the next in the same grid.
        offsets: how far each grid is moved to the left; the first is 0.
    """

    length: int
    hop: int
    offsets: tuple[int, ...] = (0,)

    @property
    def context(self) -> int:
        """Samples before the core of a chunk; behind the core there are as many or one more."""
        return (self.length - self.hop) // 2

    def starts(self) -> Iterator[int]:
        """First samples of all chunks of all grids in ascending order, without end."""
        return heapq.merge(*(count(-self.context - offset, self.hop) for offset in self.offsets))

    def covers(self, start: int, song: int) -> bool:
        """Whether the core of the chunk at ``start`` begins before a song of that length ends."""
        return start + self.context < song

    def is_complete(self, start: int, received: int) -> bool:
        """Whether the chunk at ``start`` can be cut before the end of the song is known.

        It can when its last sample is there and also what its part before the song reflects.
        """
        return received >= max(start + self.length, 1 - start)

    def oldest(self, start: int) -> int:
        """The first sample that the chunk at ``start`` and later ones can still need.

        A chunk that reaches over the end reflects samples from before its own start, but never
        more than a hop before it, because its core begins inside the song.
        """
        return max(0, start - self.hop)


def plan_chunks(length: int, overlap: float, shifts: int = 1, seed: int = 0) -> ChunkPlan:
    """Lay ``shifts`` grids of chunks that overlap their neighbours by a fraction of their length.

    All grids but the first are moved by a random part of a hop; the same seed moves them the same.

    Args:
        length: samples of one chunk.
        overlap: at least 0 and below 1.
        shifts: number of grids.
        seed: of the random offsets.
    """
    hop = max(1, length - round(length * overlap))
    dice = random.Random(seed)
    return ChunkPlan(length, hop, (0, *(dice.randrange(hop) for _ in range(shifts - 1))))


def window(length: int) -> NDArray[np.float32]:
    """Weight of each sample of a chunk: a Hann window sampled between its zeros, so never 0.

    The middle of a chunk, where the network has heard the most context, counts most.
    """
    return (np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2).astype(np.float32)


def reflect(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Positions inside a song of that length, mirrored at its first and last sample.

    The edge samples are not repeated (3 2 1 | 0 1 2 3); a mirror image that is itself too short
    is mirrored again.
    """
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded = np.abs(positions) % period
    return np.minimum(folded, period - folded)
