"""Vocals laid over instrumentals at random: clips of the layout ``voxaug``.

After the data set of that name of https://github.com/carperbr/frame-transformer, which mixes
spectrograms; waves add up to the same mixtures.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainers.data.layouts.voxaug import INSTRUMENTAL, VOCALS
from trainers.data.multitrack import Multitrack
from trainers.data.recording import Clip, recording_peak
from trainers.data.slots import Slot, Slots
from trainers.data.song_mixes import Cut, SongClips, loud_cut


class VoxaugMixes(SongClips):
    """An instrumental, and vocals from anywhere else; see :class:`SongClips` for the arguments.

    An epoch hears every part of every instrumental once, each time with other vocals: a place with
    sound in it, of a recording that is drawn the more often the longer it is. The level of a song
    is that of its whole instrumental recording.
    """

    impossible = ("remix", "swap")
    reason = "layout voxaug mixes songs and exchanges sides as data.voxaug says"
    own_recipe = "voxaug"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.backings = tuple(song for song in self.songs if INSTRUMENTAL in song.stems)
        self.vocals = tuple(song for song in self.songs if VOCALS in song.stems)
        self.slots, self.sung = (self._slots(songs) for songs in (self.backings, self.vocals))
        self.epoch = len(self.slots)

    @property
    def needed(self) -> tuple[str, ...]:
        """Both libraries, whatever the network gives."""
        return INSTRUMENTAL, VOCALS

    def _slots(self, songs: tuple[Multitrack, ...]) -> Slots:
        return Slots.of(tuple(song.frames for song in songs), self.plan.last.length, self.seed)

    def _cut(self, slot: Slot, length: int, rng: np.random.Generator) -> Cut:
        backing = self.backings[slot.song]
        start = slot.start(backing.frames, length, rng)
        vocals = self._vocals(backing, start, length, rng)
        if rng.random() < self.recipe.voxaug.no_vocals:
            vocals = np.zeros_like(vocals)
        parts = {INSTRUMENTAL: backing.stems[INSTRUMENTAL].read(start, length), VOCALS: vocals}
        is_swapped = rng.random() < self.recipe.voxaug.swap
        sides = {name: _swapped(part) if is_swapped else part for name, part in parts.items()}
        return Cut(sides, (backing,))

    def _vocals(
        self, backing: Multitrack, start: int, length: int, rng: np.random.Generator
    ) -> Clip:
        """What is laid over an instrumental, or what its own mixture has beside it."""
        if rng.random() < self.recipe.voxaug.vocals:
            vocals = self._sung(length, rng)
            if rng.random() < self.recipe.voxaug.second_vocals:
                vocals = vocals + self._sung(length, rng)
            return vocals
        return backing.rest.read(start, length) if backing.rest else _silence(length)

    def _sung(self, length: int, rng: np.random.Generator) -> Clip:
        everyone = tuple(range(len(self.vocals)))
        _, clip = loud_cut(self.vocals, self.sung, VOCALS, everyone, length, rng)
        if rng.random() < self.recipe.voxaug.swap:
            clip = _swapped(clip)
        if rng.random() < self.recipe.voxaug.mute:
            clip[rng.integers(len(clip))] = 0
        return clip

    def _peak(self, song: Multitrack) -> float:
        return recording_peak(song.stems[INSTRUMENTAL])


def _swapped(clip: Clip) -> Clip:
    return clip[::-1].copy()


def _silence(length: int) -> Clip:
    return np.zeros((2, length), np.float32)
