"""Variations of the clips of songs: what happens to one clip, and its doing.

Which of the recipe's ways happen, and how far each goes, depends on nothing but the recipe, one
number drawn per clip and the name of the stem. So the stems of a clip may come in any order, and
two recipes that differ in one way vary a clip alike in all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zlib import crc32

import numpy as np

from trainers.config.augmentation import (
    AugmentationRecipe,
    Chance,
    Filter,
    FrequencyMask,
    Gain,
    Reverb,
    TimeMask,
)
from trainers.data.codec import CODECS, round_trip
from trainers.data.effects import fitted, room, shape, smooth_curve, within
from trainers.data.masking import without_band, without_moment
from trainers.data.recording import Clip
from trainers.data.tempo import needed_samples, retune

LOWEST_HZ = 60.0
"""Bands are removed above this."""

Change = Callable[[Clip, int, Any, np.random.Generator], Clip]
"""Takes a clip, its sample rate in Hz, the way's recipe and what its details are drawn from."""


def equalise(clip: Clip, rate: int, recipe: Filter, draws: np.random.Generator) -> Clip:
    """Change levels by a smooth random curve; the phase stays."""
    return shape(clip, rate, smooth_curve(draws, recipe.db))


def reverberate(clip: Clip, rate: int, recipe: Reverb, draws: np.random.Generator) -> Clip:
    """Add the sound of a random room."""
    return room(clip, rate, draws, recipe.seconds, recipe.db)


def amplify(clip: Clip, rate: int, recipe: Gain, draws: np.random.Generator) -> Clip:
    """Multiply by a random factor."""
    factor = within(recipe.factor, draws)
    return (clip * factor).astype(np.float32)


def invert(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """Reverse the sign."""
    return -clip


def swap_sides(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """Exchange left and right."""
    return clip[::-1].copy()


def fold(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """The mean of the channels in each of them."""
    return np.repeat(clip.mean(0, keepdims=True), len(clip), axis=0)


def mask_band(clip: Clip, rate: int, recipe: FrequencyMask, draws: np.random.Generator) -> Clip:
    """Remove a band whose lower edge is log-uniform, so that it ends below half the rate."""
    octaves = within(recipe.octaves, draws)
    octaves_left = max(0.0, np.log2(rate / 2 / LOWEST_HZ) - octaves)
    low = LOWEST_HZ * 2 ** (octaves_left * draws.random())
    return without_band(clip, rate, low, low * 2**octaves)


def mask_moment(clip: Clip, rate: int, recipe: TimeMask, draws: np.random.Generator) -> Clip:
    """Silence a moment anywhere in the clip, at most half of it."""
    length = clip.shape[1]
    count = min(round(within(recipe.seconds, draws) * rate), length // 2)
    return without_moment(clip, rate, int(draws.integers(length - count + 1)), count)


WAYS: dict[str, tuple[Change, bool]] = {
    "filter": (equalise, True),
    "reverb": (reverberate, True),
    "gain": (amplify, True),
    "polarity": (invert, True),
    "swap": (swap_sides, True),
    "mono": (fold, False),
    "frequency_mask": (mask_band, False),
    "time_mask": (mask_moment, False),
}
"""In the order of doing, and whether each stem has a draw of its own."""


@dataclass(frozen=True)
class Variation:
    """What is done to one clip.

    Attributes:
        recipe: chance and range of each way.
        seed: what the choices are drawn from.
    """

    recipe: AugmentationRecipe
    seed: int

    @classmethod
    def draw(cls, recipe: AugmentationRecipe, rng: np.random.Generator) -> Variation:
        """The variation of the next clip; takes one number from ``rng`` whatever the recipe is."""
        return cls(recipe, int(rng.integers(2**63)))

    @cached_property
    def tempo(self) -> float:
        """How many times as fast the clip is played; 1 when it is not stretched."""
        draws = self._if_it_happens("time_stretch")
        return within(self.recipe.time_stretch.factor, draws) if draws else 1.0

    @cached_property
    def pitch(self) -> float:
        """Factor of all frequencies of the clip; 1 when it is not shifted."""
        draws = self._if_it_happens("pitch_shift")
        return 2 ** (within(self.recipe.pitch_shift.semitones, draws) / 12) if draws else 1.0

    @property
    def _retuned(self) -> bool:
        return (self.tempo, self.pitch) != (1.0, 1.0)

    def source_length(self, length: int, sample_rate: int) -> int:
        """Samples to cut from a song so that ``length`` of them come out of :meth:`apply`."""
        return needed_samples(length, sample_rate, self.tempo) if self._retuned else length

    def apply(self, stems: dict[str, Clip], length: int, sample_rate: int) -> dict[str, Clip]:
        """All that is done to stems and targets alike; the mixture is the sum of what comes out.

        Args:
            stems: :meth:`source_length` samples of each, ``channel time`` with two channels.
            length: samples of the results; a stem that is too short is followed by silence.
            sample_rate: in Hz.

        Returns:
            New arrays under the same names, in the same order.

        Raises:
            MissingExtraError: tempo or pitch are to change and torchaudio is not installed.
        """
        return {name: self._varied(name, clip, length, sample_rate) for name, clip in stems.items()}

    def degrade(self, mixture: Clip, sample_rate: int) -> Clip:
        """The mixture as a lossy codec leaves it, or as it is: same length, same place in time.

        Raises:
            EncodeError: the installed libsndfile is too old to write MP3.
        """
        draws = self._if_it_happens("codec")
        if draws is None:
            return mixture
        container = tuple(CODECS)[draws.integers(len(CODECS))]
        compression = within(self.recipe.codec.quality, draws)
        return round_trip(mixture, sample_rate, container, compression)

    def _varied(self, stem: str, clip: Clip, length: int, sample_rate: int) -> Clip:
        if self._retuned:
            clip = retune(clip, length, sample_rate, self.tempo, self.pitch)
        clip = fitted(clip, length)
        for way, (change, apart) in WAYS.items():
            draws = self._if_it_happens(way, stem if apart else "")
            if draws:
                clip = change(clip, sample_rate, getattr(self.recipe, way), draws)
        return clip

    def _if_it_happens(self, way: str, stem: str = "") -> np.random.Generator | None:
        """What the details of a way are drawn from, or None when it does not happen."""
        draws = np.random.default_rng([self.seed, crc32(f"{way} {stem}".encode())])
        chance: Chance = getattr(self.recipe, way)
        return draws if draws.random() < chance.chance else None
