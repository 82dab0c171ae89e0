"""Random mixes of a voice and a backing, with the true voice kept beside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trainers.config import DataRecipe, PoolRecipe
from trainers.data.augmentation import (
    BACKING_EFFECTS,
    VOICE_EFFECTS,
    apply_chain,
    change_speed,
    decibels,
)
from trainers.data.pool import SILENCE, Clip, Recording, open_recording

LEVEL = 0.1
"""RMS that every excerpt is brought to before levels and gains are drawn: -20 dB full scale."""

# Shares of clips, beside those that a recipe chooses.
RESAMPLED = 0.6  # played faster or slower
NEAR_CENTRE = 0.6  # voices panned as lead voices are; the others lie anywhere
SECOND_BACKING = 0.2
SWAPPED = 0.5  # left and right of a backing


@dataclass(frozen=True)
class Pool:
    """Recordings to draw from.

    Attributes:
        recordings: all at one sample rate.
        chances: of each; they add up to 1.
    """

    recordings: tuple[Recording, ...]
    chances: np.ndarray

    def draw(self, length: int, rng: np.random.Generator) -> Clip:
        """An excerpt of one of the recordings."""
        return self.recordings[rng.choice(len(self.recordings), p=self.chances)].excerpt(
            length, rng
        )


def open_pool(recipe: tuple[PoolRecipe, ...], folder: Path, sample_rate: int) -> Pool:
    """Open every recording of a list below ``folder``; decodes those that are not in the cache.

    Raises:
        DecodeError: a recording cannot be read.
    """
    weights = np.array([entry.weight for entry in recipe])
    recordings = tuple(open_recording(folder / entry.file, sample_rate) for entry in recipe)
    return Pool(recordings, weights / weights.sum())


class RandomMixes(Dataset[tuple[Tensor, Tensor]]):
    """Item ``i`` is a mix that depends on the seed and ``i`` alone: ``(mixture, stems)``.

    ``mixture`` is ``channel time`` and ``stems`` is ``stem channel time``, both stereo float32.

    Args:
        recipe: what is mixed, and how.
        folder: where the recipe's files lie.
        sample_rate: of the mixes, in Hz.
        seed: start of all random choices.

    Raises:
        DecodeError: a recording cannot be read.
    """

    stems = ("vocals",)

    def __init__(self, recipe: DataRecipe, folder: Path, sample_rate: int, seed: int) -> None:
        self.recipe, self.sample_rate, self.seed = recipe, sample_rate, seed
        self.length = round(recipe.seconds * sample_rate)
        self.vocals = open_pool(recipe.vocals, folder, sample_rate)
        self.backings = open_pool(recipe.backings, folder, sample_rate)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Mix number ``index``."""
        rng = np.random.default_rng((self.seed, index))
        kind = rng.random()
        silent = kind < self.recipe.silent
        bare = not silent and kind < self.recipe.silent + self.recipe.bare
        voice = np.zeros((2, self.length), np.float32) if silent else self._voice(rng)
        backing = np.zeros((2, self.length), np.float32) if bare else self._backing(rng)
        gain = decibels(rng.uniform(-9, 6)) * rng.choice([-1.0, 1.0])
        stem = torch.from_numpy((gain * voice).astype(np.float32))
        return stem + torch.from_numpy((gain * backing).astype(np.float32)), stem[None]

    def _voice(self, rng: np.random.Generator) -> Clip:
        voice = self._sung(rng)
        if rng.random() < self.recipe.second_voice:
            voice = voice + decibels(rng.uniform(-12, -3)) * self._sung(rng)
        low, high = self.recipe.level
        return to_level(voice, LEVEL * decibels(rng.uniform(low, high)))

    def _sung(self, rng: np.random.Generator) -> Clip:
        voice = self._excerpt(self.vocals, rng)
        voice = apply_chain(voice, self.sample_rate, VOICE_EFFECTS, self.recipe.effects, rng)
        pan = rng.normal(0, 0.12) if rng.random() < NEAR_CENTRE else rng.uniform(-0.8, 0.8)
        sides = np.array([[1 - max(0.0, pan)], [1 + min(0.0, pan)]], np.float32)
        return to_level(np.broadcast_to(voice, (2, self.length)) * sides, LEVEL)

    def _backing(self, rng: np.random.Generator) -> Clip:
        backing = self._loud_excerpt(rng)
        if rng.random() < SECOND_BACKING:
            backing = backing + decibels(rng.uniform(-15, 0)) * self._loud_excerpt(rng)
        return backing

    def _loud_excerpt(self, rng: np.random.Generator) -> Clip:
        backing = self._excerpt(self.backings, rng)
        backing = apply_chain(backing, self.sample_rate, BACKING_EFFECTS, self.recipe.effects, rng)
        backing = np.broadcast_to(backing, (2, self.length))
        if rng.random() < SWAPPED:
            backing = backing[::-1]
        return to_level(backing, LEVEL)

    def _excerpt(self, pool: Pool, rng: np.random.Generator) -> Clip:
        if rng.random() > RESAMPLED:
            return pool.draw(self.length, rng)
        factor = float(rng.uniform(1 - self.recipe.speed, 1 + self.recipe.speed))
        return change_speed(pool.draw(int(np.ceil(self.length * factor)), rng), self.length, factor)


def to_level(clip: Clip, rms: float) -> Clip:
    """Bring a clip to that RMS; one below :data:`~trainers.data.pool.SILENCE` stays as empty."""
    return clip * (rms / max(float(np.sqrt(np.mean(np.square(clip)))), SILENCE))
