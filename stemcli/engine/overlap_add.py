"""Weighted overlap-add of one network over a song that arrives block by block.

Allen & Rabiner, "A unified approach to short-time Fourier analysis and synthesis" (1977), with the
network in the place of the spectral modification. Each output sample is the mean of all chunks that
cover it, weighted by the window, so a network that changes nothing gives the song back.
"""

from __future__ import annotations

import numpy as np

from stemcli.engine.channels import deal, fold, unfold
from stemcli.engine.chunks import ChunkPlan, reflect, window
from stemcli.engine.network import Network
from stemcli.engine.tape import Block, Tape


class OverlapAdd:
    """Mixture blocks ``(frames, channel)`` in, stem blocks ``(frames, stem, channel)`` out.

    Blocks of any size may be pushed; the same chunks are cut whatever their sizes. Samples leave
    as soon as no later chunk covers them. What is kept is about two chunks and one batch.
    """

    def __init__(self, network: Network, plan: ChunkPlan, channels: int, batch: int = 1) -> None:
        self._network, self._plan, self._batch = network, plan, batch
        self._groups = deal(channels, network.channels)
        self._window = window(plan.length)
        self._song = Tape(channels)
        self._sum = Tape(len(network.stems), channels)
        self._weight = Tape()
        self._starts = plan.starts()
        self._next = next(self._starts)
        self._waiting: list[tuple[int, Block]] = []

    @property
    def buffered(self) -> int:
        """Frames held: of the song, of the sums and of chunks that wait for their batch."""
        return len(self._song) + len(self._sum) + self._plan.length * len(self._waiting)

    def push(self, block: Block) -> Block:
        """Take the next frames of the mixture, give those of the stems that are final."""
        self._song.append(block)
        while self._plan.is_complete(self._next, self._song.end):
            self._cut()
        return self._take(self._waiting[0][0] if self._waiting else self._next)

    def finish(self) -> Block:
        """Give all that is left; as many frames have come out then as went in."""
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
