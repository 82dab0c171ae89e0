"""Which place of which song each clip comes from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

ORDER = 1
"""Third word of the seed of an epoch's order: clips are drawn by two words, the seed and theirs."""


@dataclass(frozen=True)
class Slot:
    """One of the equal parts of a song that clips start in.

    Attributes:
        song: number of the song.
        number: of the part.
        count: parts of the song.
    """

    song: int
    number: int
    count: int

    def start(self, frames: int, length: int, rng: np.random.Generator) -> int:
        """Where a clip begins: anywhere in the part, so that it lies within the song.

        The places at which a clip can begin are shared out evenly, so that none is drawn more
        often than another. A song shorter than the clip begins at 0.
        """
        places = max(1, frames - length + 1)
        return min(places - 1, int((self.number + rng.random()) * places / self.count))


@dataclass(frozen=True)
class Slots:
    """Every part of every song once per epoch, in an order that each epoch draws anew.

    So long songs are drawn more often than short ones, and whoever asks for the clip of a number
    finds the same one.

    Attributes:
        counts: of parts of each song, 1 at least.
        seed: start of all orders.
    """

    counts: tuple[int, ...]
    seed: int

    @classmethod
    def of(cls, frames: tuple[int, ...], length: int, seed: int) -> Slots:
        """Parts about as long as a clip of ``length`` samples, for songs of ``frames`` each."""
        return cls(tuple(max(1, each // length) for each in frames), seed)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def at(self, index: int) -> Slot:
        """The slot of clip ``index``."""
        place = int(self._order(index // len(self))[index % len(self)])
        song = int(np.searchsorted(self._ends, place, side="right"))
        count = self.counts[song]
        return Slot(song, place - int(self._ends[song]) + count, count)

    def anywhere(self, songs: tuple[int, ...], rng: np.random.Generator) -> Slot:
        """A random slot of one of ``songs``, each as likely as any other of theirs."""
        ends = np.cumsum([self.counts[song] for song in songs])
        place = int(rng.integers(ends[-1]))
        found = int(np.searchsorted(ends, place, side="right"))
        song = songs[found]
        return Slot(song, place - int(ends[found]) + self.counts[song], self.counts[song])

    @cached_property
    def _ends(self) -> Int64[np.ndarray, " song"]:
        return np.cumsum(np.array(self.counts, np.int64))

    def _order(self, epoch: int) -> Int64[np.ndarray, " slot"]:
        """The order of an epoch; the last one is kept."""
        if epoch not in self._kept:
            self._kept.clear()
            generator = np.random.default_rng((self.seed, epoch, ORDER))
            self._kept[epoch] = generator.permutation(len(self))
        return self._kept[epoch]

    @cached_property
    def _kept(self) -> dict[int, Int64[np.ndarray, " slot"]]:
        return {}
