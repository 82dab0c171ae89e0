"""Channel folding and weighted overlap-add.

Songs are never downmixed: channels are grouped into items of the network's width, and every channel
gets its own estimate back.

Allen & Rabiner, "A unified approach to short-time Fourier analysis and synthesis" (1977), with the
network in place of the spectral modification. Each output sample is the mean of all chunks that
cover it, weighted by the window, so an identity network returns the song.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import ConfigError
from model_zoo.option_names import option
from stemcli.engine.chunks import SILENT, ChunkCut, ChunkPlan, Positions
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
        self.extend(self.start + first + len(block))
        self._kept[first : first + len(block)] += block

    def extend(self, position: int) -> None:
        """Append zeros up to ``position``."""
        if position > self.end:
            shape = (position - self.end, *self._kept.shape[1:])
            self.append(np.zeros(shape, np.float32))

    def at(self, positions: Positions) -> Block:
        """The frames at these absolute positions, zeros where a position is ``SILENT``."""
        is_silent = positions == SILENT
        frames = self._kept[np.where(is_silent, 0, positions - self.start)]
        frames[is_silent] = 0
        return frames

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
        self._song = SlidingBuffer(channels)
        self._sum = SlidingBuffer(len(network.stems), channels)
        self._weight = SlidingBuffer()
        self._starts: Iterator[int] = iter(())
        self._next, self._has_begun = 0, False
        self._waiting: list[tuple[ChunkCut, Block]] = []

    @property
    def buffered(self) -> int:
        """Frames in memory: of the song, of the sums and of chunks that wait for their batch."""
        return len(self._song) + len(self._sum) + self._plan.length * len(self._waiting)

    def push(self, block: Block) -> Block:
        """Take the next frames of the mixture and return the stem frames that are final."""
        self._song.append(block)
        if not self._begin(ended=False):
            return self._take(0)
        while self._plan.is_complete(self._next, self._song.end):
            self._cut()
        return self._take(self._waiting[0][0].first if self._waiting else self._next)

    def finish(self) -> Block:
        """Return the remaining frames; in total as many as were pushed."""
        self._begin(ended=True)
        while self._plan.covers(self._next, self._song.end):
            self._cut()
        self._run()
        return self._take(self._song.end)

    def _begin(self, *, ended: bool) -> bool:
        """Begin with the first chunk, if enough of the song is known to place it."""
        if not self._has_begun and (plan := self._plan.resolve(self._song.end, ended)):
            self._plan, self._starts, self._has_begun = plan, plan.starts(), True
            self._next = next(self._starts)
        return self._has_begun

    def _cut(self) -> None:
        chunk = self._plan.cut(self._next, self._song.end)
        if self._waiting and len(self._waiting[0][0].sources) != len(chunk.sources):
            self._run()
        self._waiting.append((chunk, self._song.at(chunk.sources)))
        self._next = next(self._starts)
        self._song.drop_before(self._plan.oldest(self._next))
        if len(self._waiting) == self._batch:
            self._run()

    def _run(self) -> None:
        if not self._waiting:
            return
        items = np.concatenate([fold(samples, self._groups) for _, samples in self._waiting])
        chunks = [chunk for chunk, _ in self._waiting]
        starts = [chunk.first for chunk in chunks]
        times = np.repeat(starts, len(self._groups)) / self._network.sample_rate
        estimates = self._network.separate(items, times.tolist())
        for chunk, estimate in zip(chunks, np.split(estimates, len(chunks)), strict=True):
            self._add(chunk, unfold(estimate, self._groups))
        self._waiting.clear()

    def _add(self, chunk: ChunkCut, stems: Block) -> None:
        counted = np.flatnonzero(chunk.weights)
        if not len(counted):
            return
        part = slice(counted[0], counted[-1] + 1)
        weights, first = chunk.weights[part], chunk.first + int(counted[0])
        self._sum.add(first, stems[part] * weights[:, None, None])
        self._weight.add(first, weights)

    def _take(self, final: int) -> Block:
        frames = max(0, final - self._sum.start)
        for buffer in (self._sum, self._weight):  # the last samples may have no weight
            buffer.extend(final)
        total, weight = self._sum.take(frames), self._weight.take(frames)[:, None, None]
        return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
