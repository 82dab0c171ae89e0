"""Chunk plan, channel folding and weighted overlap-add.

Songs are never downmixed: channels are grouped into items of the network's width, and every channel
gets its own estimate back.

A chunk plan depends on lengths only, not on audio. Two grids with different offsets::

    song                 |----------------------------------|
    chunks     [  .======.  ]
                      [  .======.  ]
                           [  .======.  ]   ...                    offset 0
           [  .======.  ]
                  [  .======.  ]            ...                    offset 4

``=`` is the core of a chunk, one hop long; ``.`` is the context on both sides. The cores of one
grid tile the song, so every sample lies in a core and has real context on both sides; only beyond
the ends of the song is the context synthetic, by reflection.

Allen & Rabiner, "A unified approach to short-time Fourier analysis and synthesis" (1977), with the
network in place of the spectral modification. Each output sample is the mean of all chunks that
cover it, weighted by the window, so an identity network returns the song.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import ConfigError
from model_zoo.option_names import option
from stemcli.engine.runner import ModelRunner

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


Groups = NDArray[np.int64]
"""``(item, channel)``: index of the song's channel for each input of each item."""


def deal(channels: int, width: int) -> Groups:
    """Group the channels of a song into items of ``width`` channels.

    A network of one channel takes them one by one. A network of two channels takes them in pairs;
    a last channel without a partner is taken twice.

    Raises:
        ConfigError: a network of more than two channels needs a song with the same number.
    """
    if width <= 2:
        last = channels - 1
        return np.array(
            [[min(i + j, last) for j in range(width)] for i in range(0, channels, width)]
        )
    if width != channels:
        problem = f"the network takes {width} channels and the song has {channels}"
        advice = f"choose another network with {option('model')}"
        raise ConfigError("", [f"{problem}; {advice}"]).about("model")
    return np.arange(channels)[None]


def fold(chunk: NDArray[np.float32], groups: Groups) -> NDArray[np.float32]:
    """``(time, channel)`` of a song to ``(item, channel, time)`` of a network."""
    return np.ascontiguousarray(chunk.T[groups])


def unfold(items: NDArray[np.float32], groups: Groups) -> NDArray[np.float32]:
    """``(item, stem, channel, time)`` of a network to ``(time, stem, channel)`` of a song.

    A channel that was taken more than once is the mean of its estimates.
    """
    channels = [
        np.mean([items[item, :, place] for item, place in np.argwhere(groups == channel)], axis=0)
        for channel in range(int(groups.max()) + 1)
    ]
    return np.stack(channels).transpose(2, 1, 0)


@dataclass(frozen=True)
class ChunkPlan:
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
    def context(self) -> int:
        """Samples before the core of a chunk; after the core there are as many or one more."""
        return (self.length - self.hop) // 2

    def starts(self) -> Iterator[int]:
        """First samples of all chunks of all grids in ascending order, infinitely many."""
        return heapq.merge(*(count(-self.context - offset, self.hop) for offset in self.offsets))

    def covers(self, start: int, song: int) -> bool:
        """Whether the core of the chunk at ``start`` begins before a song of that length ends."""
        return start + self.context < song

    def is_complete(self, start: int, received: int) -> bool:
        """Whether the chunk at ``start`` can be cut before the end of the song is known.

        This needs the last sample of the chunk, and the samples that its part before the song
        reflects.
        """
        return received >= max(start + self.length, 1 - start)

    def oldest(self, start: int) -> int:
        """The first sample that the chunk at ``start`` and later chunks can still need.

        A chunk that extends past the end reflects samples from before its own start, but at most a
        hop before it, because its core begins inside the song.
        """
        return max(0, start - self.hop)


def plan_chunks(length: int, overlap: float, shifts: int = 1, seed: int = 0) -> ChunkPlan:
    """Plan ``shifts`` grids of chunks that overlap the next chunk by a fraction of their length.

    All grids but the first are shifted by a random part of a hop, reproducible by the seed.

    Args:
        length: samples of one chunk.
        overlap: at least 0 and below 1.
        shifts: number of grids.
        seed: of the random offsets.
    """
    hop = max(1, length - round(length * overlap))
    generator = random.Random(seed)
    return ChunkPlan(length, hop, (0, *(generator.randrange(hop) for _ in range(shifts - 1))))


def window(length: int) -> NDArray[np.float32]:
    """Weight of each sample of a chunk: a Hann window sampled between its zeros, so never 0.

    The middle of a chunk, where the network has the most context, has the largest weight.
    """
    return (np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2).astype(np.float32)


def reflect(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Map positions into a song of ``length`` samples by reflection at its first and last sample.

    The edge samples are not repeated (3 2 1 | 0 1 2 3); positions beyond a reflection are
    reflected again.
    """
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    folded = np.abs(positions) % period
    return np.minimum(folded, period - folded)


class OverlapAdd:
    """Runs one network over a stream in overlapping chunks.

    Takes mixture blocks ``(frames, channel)`` and returns stem blocks ``(frames, stem, channel)``.
    The chunks do not depend on the sizes of the blocks. Samples are returned as soon as no later
    chunk covers them. About two chunks and one batch are kept in memory.
    """

    def __init__(
        self, network: ModelRunner, plan: ChunkPlan, channels: int, batch: int = 1
    ) -> None:
        self._network, self._plan, self._batch = network, plan, batch
        self._groups = deal(channels, network.channels)
        self._window = window(plan.length)
        self._song = SlidingBuffer(channels)
        self._sum = SlidingBuffer(len(network.stems), channels)
        self._weight = SlidingBuffer()
        self._starts = plan.starts()
        self._next = next(self._starts)
        self._waiting: list[tuple[int, Block]] = []

    @property
    def buffered(self) -> int:
        """Frames in memory: of the song, of the sums and of chunks that wait for their batch."""
        return len(self._song) + len(self._sum) + self._plan.length * len(self._waiting)

    def push(self, block: Block) -> Block:
        """Take the next frames of the mixture and return the stem frames that are final."""
        self._song.append(block)
        while self._plan.is_complete(self._next, self._song.end):
            self._cut()
        return self._take(self._waiting[0][0] if self._waiting else self._next)

    def finish(self) -> Block:
        """Return the remaining frames; in total as many as were pushed."""
        while self._plan.covers(self._next, self._song.end):
            self._cut()
        self._run()
        return self._take(self._song.end)

    def _cut(self) -> None:
        positions = np.arange(self._next, self._next + self._plan.length)
        self._waiting.append((self._next, self._song.at(reflect(positions, self._song.end))))
        self._next = next(self._starts)
        self._song.drop_before(self._plan.oldest(self._next))
        if len(self._waiting) == self._batch:
            self._run()

    def _run(self) -> None:
        if not self._waiting:
            return
        items = np.concatenate([fold(chunk, self._groups) for _, chunk in self._waiting])
        starts = [start for start, _ in self._waiting]
        times = np.repeat(starts, len(self._groups)) / self._network.sample_rate
        estimates = self._network.separate(items, times.tolist())
        for start, estimate in zip(starts, np.split(estimates, len(starts)), strict=True):
            weighted = unfold(estimate, self._groups) * self._window[:, None, None]
            self._sum.add(start, weighted)
            self._weight.add(start, self._window)
        self._waiting.clear()

    def _take(self, final: int) -> Block:
        frames = max(0, final - self._sum.start)
        return self._sum.take(frames) / self._weight.take(frames)[:, None, None]
