"""Cuts clips from songs and mixes them, within one song or across songs.

Voxaug follows the data set of that name in https://github.com/carperbr/frame-transformer, which
mixes spectrograms; adding waveforms gives the same mixtures.

"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from model_zoo.errors import ConfigError
from trainers.config.data import DataRecipe
from trainers.data.augmentation import Variation
from trainers.data.clips import ClipPlan, ClipPosition, ClipPositions, Clips
from trainers.data.effects import darken
from trainers.data.layouts.voxaug import INSTRUMENTAL, VOCALS
from trainers.data.multitrack import REST, OpenTrack, side_by_side, summed
from trainers.data.recording import Clip, is_loud, peak_of, recording_peak
from trainers.data.tracks import parts_of

TRIES = 8
"""Random positions to try in search of one that is not silent."""


class Cut(NamedTuple):
    """The parts of one clip before augmentation.

    Attributes:
        parts: clips by name; their sum is the mixture.
        songs: songs that determine the level of the clip.
    """

    parts: dict[str, Clip]
    songs: tuple[OpenTrack, ...]


class SongClips(Clips):
    """Base of all clips that are cut from songs.

    A mixture is the sum of all parts of a clip, each augmented separately, and may exceed full
    scale: float waveforms do not clip, and scaling only the loud ones down would mislead a network
    that distinguishes sounds by level.

    For a network that expects songs with a peak of 1, clips have the level that they would have in
    such a song: they are divided by the peak of the song, or of the clip if that is higher. Among
    several songs, the loudest counts.

    Args:
        songs: songs to cut from.
        recipe: groups of stems, and augmentation.
        stems: stems of the network.
        plan: lengths of the clips.
        sample_rate: sample rate of songs and clips, in Hz.
        seed: random seed.
        needs_peak_level: whether the network expects songs with a peak of 1.

    Raises:
        ConfigError: the recipe has augmentations that these clips do not support.
    """

    impossible: ClassVar[tuple[str, ...]] = ()
    """Names of augmentations that these clips do not support."""

    reason: ClassVar[str] = ""
    """The reason, as the end of a sentence."""

    own_recipe: ClassVar[str] = ""
    """Name of a recipe for these clips."""

    def __init__(
        self,
        songs: Sequence[OpenTrack],
        recipe: DataRecipe,
        stems: tuple[str, ...],
        plan: ClipPlan,
        sample_rate: int,
        seed: int,
        *,
        needs_peak_level: bool = False,
    ) -> None:
        self.check_augmentation(recipe)
        self.songs, self.recipe, self.stems = tuple(songs), recipe, stems
        self.plan, self.sample_rate, self.seed = plan, sample_rate, seed
        self.needs_peak_level = needs_peak_level
        self.positions = ClipPositions.of(
            tuple(song.frames for song in songs), plan.last.length, seed
        )
        self.epoch = len(self.positions)

    @classmethod
    def check_augmentation(cls, recipe: DataRecipe) -> None:
        """Refuse augmentations that these clips do not support.

        Raises:
            ConfigError: the recipe has some; the message turns them off.
        """
        refused = [name for name in recipe.augmentation.used if name in cls.impossible]
        if refused:
            flags = " ".join(f"--set data.augmentation.{name}.chance=0" for name in refused)
            own = f"--recipe {cls.own_recipe}, or with this recipe " if cls.own_recipe else ""
            used = f"augmentation{'s' if len(refused) > 1 else ''} {' and '.join(refused)}"
            words = f"the recipe uses the {used}, but {cls.reason}"
            raise ConfigError("data", [f"{words}. Try: {own}{flags}"])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return clip number ``index``."""
        rng, shape = np.random.default_rng((self.seed, index)), self.plan.at(index)
        position, variation = (
            self.positions.at(index),
            Variation.draw(self.recipe.augmentation, rng),
        )
        length = variation.source_length(shape.length, self.sample_rate)
        cut = self._cut(position, length, rng)
        varied = variation.apply(cut.parts, shape.length, self.sample_rate)
        parts = {
            name: darken(part, self.sample_rate, shape.lowpass_hz) for name, part in varied.items()
        }
        mixture = summed(parts, tuple(parts), shape.length)
        stems = [
            summed(parts, parts_of(stem, self.recipe.groups), shape.length) for stem in self.stems
        ]
        level = np.float32(self._level(cut.songs, mixture))
        degraded = variation.degrade(mixture / level, self.sample_rate)
        return torch.from_numpy(np.ascontiguousarray(degraded, np.float32)), torch.from_numpy(
            side_by_side(stems, shape.length) / level
        )

    @classmethod
    def needed(cls, stems: tuple[str, ...]) -> tuple[str, ...]:
        """Stems that must be audible in at least one song, for a network with these stems."""
        return stems

    def _level(self, songs: tuple[OpenTrack, ...], mixture: Clip) -> float:
        """Return the divisor that gives a clip of these songs its level."""
        if not self.needs_peak_level:
            return 1.0
        return max(peak_of(mixture), *map(self._peak, songs)) or 1.0

    def _peak(self, song: OpenTrack) -> float:
        """Return the largest absolute sample of a whole song."""
        return song.peak

    @abstractmethod
    def _cut(self, position: ClipPosition, length: int, rng: np.random.Generator) -> Cut:
        """Cut the parts of a clip."""


class SongMixes(SongClips):
    """Mixtures of all parts of a song, or across songs if the recipe has ``remix``."""

    @property
    def remixed(self) -> float:
        """Share of clips whose stems come from different songs."""
        return self.recipe.augmentation.remix.chance

    @cached_property
    def holders(self) -> dict[str, tuple[int, ...]]:
        """Indices of the songs that have each part."""
        parts = [song.parts.keys() for song in self.songs]
        return {
            name: tuple(number for number, names in enumerate(parts) if name in names)
            for name in sorted({name for names in parts for name in names})
        }

    def _cut(self, position: ClipPosition, length: int, rng: np.random.Generator) -> Cut:
        if rng.random() < self.remixed:
            return self._from_anywhere(length, rng)
        song = self.songs[position.song]
        start = position.start(song.frames, length, rng)
        parts = {name: part.read(start, length) for name, part in song.parts.items()}
        return Cut(parts, (song,))

    def _from_anywhere(self, length: int, rng: np.random.Generator) -> Cut:
        """Take each part from a different song, as long as enough songs have it."""
        used: set[int] = set()
        cuts: dict[str, Clip] = {}
        for name, holders in self.holders.items():
            others = tuple(song for song in holders if song not in used) or holders
            song, cuts[name] = loud_cut(self.songs, self.positions, name, others, length, rng)
            used.add(song)
        return Cut(cuts, tuple(self.songs[song] for song in sorted(used)))


def loud_cut(
    songs: Sequence[OpenTrack],
    positions: ClipPositions,
    name: str,
    among: tuple[int, ...],
    length: int,
    rng: np.random.Generator,
) -> tuple[int, Clip]:
    """Cut a part at a random position that is not silent; at the last one tried if all are.

    Args:
        songs: songs to cut from.
        positions: clip positions in these songs.
        name: name of the part.
        among: indices of the songs to choose from; all have the part.
        length: length in samples.
        rng: random generator.
    """
    for _ in range(TRIES):
        position = positions.anywhere(among, rng)
        part = songs[position.song].parts[name]
        clip = part.read(position.start(part.frames, length, rng), length)
        if is_loud(clip):
            break
    return position.song, clip


class FreeMixes(SongMixes):
    """Mixtures of single stem files that do not belong to songs; each part is from another file."""

    remixed: float = 1.0


class PairClips(SongClips):
    """Clips of a mixture and its targets, if the other stems of the mixture are unknown.

    The rest is the mixture minus its targets, and a part of the clip like the targets, so that
    augmented parts still add up to the mixture. But the rest is not an instrument: filtering it
    separately, or adding targets of other songs, would give unrealistic mixtures.
    """

    impossible = ("remix", "filter", "reverb")
    reason = "layout pairs does not have all stems of a mixture, as that requires"

    def _cut(self, position: ClipPosition, length: int, rng: np.random.Generator) -> Cut:
        song = self.songs[position.song]
        assert song.rest, "a pair has a mixture"
        start = position.start(song.frames, length, rng)
        return Cut({**song.read(start, length), REST: song.rest.read(start, length)}, (song,))


class VoxaugMixes(SongClips):
    """An instrumental with random vocals; see :class:`SongClips` for the arguments.

    An epoch contains every part of every instrumental once, each time with other vocals: a
    position that is not silent, in a recording drawn in proportion to its length. The level of a
    song is that of its whole instrumental recording.
    """

    impossible = ("remix", "swap")
    reason = "layout voxaug mixes songs and swaps channels by its own options, data.voxaug"
    own_recipe = "voxaug"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.backings = tuple(song for song in self.songs if INSTRUMENTAL in song.stems)
        self.vocals = tuple(song for song in self.songs if VOCALS in song.stems)
        self.positions, self.sung = (
            self._positions(songs) for songs in (self.backings, self.vocals)
        )
        self.epoch = len(self.positions)

    @classmethod
    def needed(cls, stems: tuple[str, ...]) -> tuple[str, ...]:
        """Both libraries, whatever the stems of the network."""
        return INSTRUMENTAL, VOCALS

    def _positions(self, songs: tuple[OpenTrack, ...]) -> ClipPositions:
        return ClipPositions.of(
            tuple(song.frames for song in songs), self.plan.last.length, self.seed
        )

    def _cut(self, position: ClipPosition, length: int, rng: np.random.Generator) -> Cut:
        backing = self.backings[position.song]
        start = position.start(backing.frames, length, rng)
        vocals = self._vocals(backing, start, length, rng)
        if rng.random() < self.recipe.voxaug.no_vocals:
            vocals = np.zeros_like(vocals)
        parts = {INSTRUMENTAL: backing.stems[INSTRUMENTAL].read(start, length), VOCALS: vocals}
        is_swapped = rng.random() < self.recipe.voxaug.swap
        sides = {name: _swapped(part) if is_swapped else part for name, part in parts.items()}
        return Cut(sides, (backing,))

    def _vocals(
        self, backing: OpenTrack, start: int, length: int, rng: np.random.Generator
    ) -> Clip:
        """Cut random vocals to add to an instrumental, or the vocals of its own mixture."""
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

    def _peak(self, song: OpenTrack) -> float:
        return recording_peak(song.stems[INSTRUMENTAL])


def _swapped(clip: Clip) -> Clip:
    return clip[::-1].copy()


def _silence(length: int) -> Clip:
    return np.zeros((2, length), np.float32)
