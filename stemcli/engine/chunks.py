"""Chunk plans: where a song is cut, what each chunk holds, and how much each sample counts.

A plan depends on lengths only, not on audio. With our own plan, :class:`CenteredPlan`, every sample
has real context on both sides; here are two grids with different offsets::

    song                 |----------------------------------|
    chunks     [  .======.  ]
                      [  .======.  ]
                           [  .======.  ]   ...                    offset 0
           [  .======.  ]
                  [  .======.  ]            ...                    offset 4

``=`` is the core of a chunk, one hop long; ``.`` is the context on both sides. The cores of one
grid tile the song; only beyond the ends of the song is the context synthetic, by reflection.

Published weights were measured with the programs of their authors, so the other plans cut and weigh
chunks exactly as those do: :class:`DemucsPlan` as Demucs 4, :class:`MSSTPlan` as the program
Music-Source-Separation-Training (MSST) and those that follow it.
"""

from __future__ import annotations

import heapq
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from model_zoo.grids import Grid

Positions = NDArray[np.int64]
Weights = NDArray[np.float32]

SILENT = -1
"""In place of a position: the sample is zero."""


@dataclass(frozen=True)
class ChunkCut:
    """One chunk of a song.

    Attributes:
        first: position of its first sample in the song; may be negative.
        sources: for each sample, the position in the song that it is read from, or ``SILENT``.
        weights: weight of each sample in the mean of all chunks that cover it.
    """

    first: int
    sources: Positions
    weights: Weights


@dataclass(frozen=True)
class ChunkPlan(ABC):
    """A plan of overlapping chunks, in samples at the rate of the network.

    Attributes:
        length: of one chunk.
        hop: from one chunk to the next in the same grid.
        offsets: shift of each grid to the left; the first is 0.
    """

    length: int
    hop: int
    offsets: tuple[int, ...] = (0,)

    @property
    def first(self) -> int:
        """Position of the first chunk of the first grid."""
        return 0

    def starts(self) -> Iterator[int]:
        """First samples of all chunks of all grids in ascending order, infinitely many."""
        return heapq.merge(*(count(self.first - offset, self.hop) for offset in self.offsets))

    def resolve(self, received: int, ended: bool) -> ChunkPlan | None:
        """The plan for a song; None if more of the song must be known first.

        Args:
            received: samples of the song that are known.
            ended: whether they are the whole song.
        """
        return self

    @abstractmethod
    def covers(self, start: int, song: int) -> bool:
        """Whether a song of that length has the chunk at ``start``."""

    @abstractmethod
    def is_complete(self, start: int, received: int) -> bool:
        """Whether the chunk at ``start`` can be cut before the end of the song is known."""

    @abstractmethod
    def oldest(self, start: int) -> int:
        """The first sample that the chunk at ``start`` and later chunks can still need."""

    @abstractmethod
    def cut(self, start: int, song: int) -> ChunkCut:
        """The chunk at ``start`` of a song of that length, or of a longer one if it is complete."""


class CenteredPlan(ChunkPlan):
    """Chunks with real context on both sides, weighed by a Hann window."""

    @property
    def context(self) -> int:
        """Samples before the core of a chunk; after the core there are as many or one more."""
        return (self.length - self.hop) // 2

    @property
    def first(self) -> int:
        """Position of the first chunk, whose core begins with the song."""
        return -self.context

    def covers(self, start: int, song: int) -> bool:
        """Whether the core of the chunk begins before the song ends."""
        return start + self.context < song

    def is_complete(self, start: int, received: int) -> bool:
        """Whether its last sample, and those that its part before the song reflects, are known."""
        return received >= max(start + self.length, 1 - start)

    def oldest(self, start: int) -> int:
        """A hop before ``start``.

        A chunk that extends past the end reflects samples from before its own start, but at most a
        hop before it, because its core begins inside the song.
        """
        return max(0, start - self.hop)

    def cut(self, start: int, song: int) -> ChunkCut:
        """The chunk at ``start``, reflected at the ends of the song."""
        positions = np.arange(start, start + self.length)
        return ChunkCut(start, reflect(positions, song), hann(self.length))


@dataclass(frozen=True)
class DemucsPlan(ChunkPlan):
    """Chunks as Demucs 4 cuts them (``demucs.apply.apply_model``), weighed by a triangle.

    The first chunk begins with the song, and the last ends with it and is shorter.

    Attributes:
        fills: whether a short chunk is filled up with what comes before it and silence after it, as
            for HTDemucs, which takes chunks of one length.
    """

    fills: bool = True

    def covers(self, start: int, song: int) -> bool:
        """Whether the chunk begins before the song ends."""
        return start < song

    def is_complete(self, start: int, received: int) -> bool:
        """Whether its last sample is known."""
        return received >= start + self.length

    def oldest(self, start: int) -> int:
        """Half a chunk before ``start``, which is the most that a short chunk is filled up with."""
        return max(0, start - self.length // 2)

    def cut(self, start: int, song: int) -> ChunkCut:
        """The chunk at ``start``; what a short one is filled up with has the weight 0."""
        used = min(self.length, song - start)
        length = self.length if self.fills else used
        before = (length - used) // 2
        positions = np.arange(start - before, start - before + length)
        weights = np.zeros(length, np.float32)
        weights[before : before + used] = triangle(self.length)[:used]
        is_real = (positions >= 0) & (positions < song)
        return ChunkCut(start - before, np.where(is_real, positions, SILENT), weights)


@dataclass(frozen=True)
class MSSTPlan(ChunkPlan):
    """Chunks as MSST cuts them (``demix``), flat with linear fades at both ends.

    A song is reflected at its ends by what a chunk and the next share, if it is longer than twice
    that. Then chunks begin with its first sample, and the last is reflected at its own end, or
    filled up with silence if less than half of it is left. Without overlap, the first and the last
    sample of a chunk have the weight 0, as there.

    Attributes:
        border: samples by which the song is reflected at either end.
    """

    border: int = 0

    @property
    def first(self) -> int:
        """Position of the first chunk."""
        return -self.border

    def resolve(self, received: int, ended: bool) -> MSSTPlan | None:
        """The plan with its border, which a short song does not have."""
        border = self.length - self.hop
        if received > 2 * border:
            return replace(self, border=border)
        return replace(self, border=0) if ended else None

    def covers(self, start: int, song: int) -> bool:
        """Whether the chunk begins before the reflected song ends."""
        return start < song + self.border

    def is_complete(self, start: int, received: int) -> bool:
        """Whether more than its last sample is known: the last chunk of a song is another."""
        return received > max(start + self.length, -start)

    def oldest(self, start: int) -> int:
        """Twice the border before ``start``: there lies what the end reflects."""
        return max(0, start - 2 * self.border)

    def cut(self, start: int, song: int) -> ChunkCut:
        """The chunk at ``start``; what it is filled up with has the weight 0."""
        end = song + self.border
        used = min(self.length, end - start)
        indices = np.arange(self.length)
        if used > self.length // 2:
            indices = np.where(indices < used, indices, 2 * (used - 1) - indices)
        sources = reflect(start + indices, song)
        if used <= self.length // 2:
            sources[used:] = SILENT
        return ChunkCut(start, sources, self._weights(start, used, end))

    def _weights(self, start: int, used: int, end: int) -> Weights:
        fade = self.length // 10
        weights = faded(self.length, fade).copy()
        if start <= self.first:
            weights[:fade] = 1
        elif start + self.hop >= end:
            weights[self.length - fade :] = 1
        weights[used:] = 0
        return weights


def plan_chunks(
    length: int, overlap: float, shifts: int = 1, seed: int = 0, grid: Grid = "centered"
) -> ChunkPlan:
    """Plan ``shifts`` grids of chunks that overlap the next chunk by a fraction of their length.

    All grids but the first are shifted by a random part of a hop, reproducible by the seed.

    Args:
        length: samples of one chunk.
        overlap: at least 0 and below 1.
        shifts: number of grids.
        seed: of the random offsets.
        grid: how chunks are cut and weighed.
    """
    # The other programs round the hop down; 1e-6 is for fractions such as 0.9 that are inexact.
    shared = round(length * overlap) if grid == "centered" else length * overlap - 1e-6
    hop = max(1, int(length - shared))
    generator = random.Random(seed)
    offsets = (0, *(generator.randrange(hop) for _ in range(shifts - 1)))
    if grid == "centered":
        return CenteredPlan(length, hop, offsets)
    if grid == "msst":
        return MSSTPlan(length, hop, offsets)
    return DemucsPlan(length, hop, offsets, fills=grid == "htdemucs")


@lru_cache(maxsize=8)
def hann(length: int) -> Weights:
    """A Hann window sampled between its zeros, so never 0.

    The middle of a chunk, where the network has the most context, has the largest weight.
    """
    return (np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2).astype(np.float32)


@lru_cache(maxsize=8)
def triangle(length: int) -> Weights:
    """A triangle from 1 to half of ``length`` and back to 1, divided by its maximum."""
    half = length // 2
    rising, falling = np.arange(1, half + 1), np.arange(length - half, 0, -1)
    return (np.concatenate([rising, falling]) / (length - half)).astype(np.float32)


@lru_cache(maxsize=8)
def faded(length: int, fade: int) -> Weights:
    """Ones, but for a linear fade from 0 at the start and to 0 at the end."""
    weights = np.ones(length, np.float32)
    weights[:fade] = np.linspace(0, 1, fade)
    weights[length - fade :] = np.linspace(1, 0, fade)
    return weights


def reflect(positions: Positions, length: int) -> Positions:
    """Map positions into a song of ``length`` samples by reflection at its first and last sample.

    The edge samples are not repeated (3 2 1 | 0 1 2 3); positions beyond a reflection are
    reflected again.
    """
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded = np.abs(positions) % period
    return np.minimum(folded, period - folded)
