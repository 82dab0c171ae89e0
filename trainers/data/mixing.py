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
from trainers.data.pool import Clip, Recording, open_recording

BACKING_RMS = 0.1
"""Loudness that every backing is brought to before the common gain: -20 dB full scale."""


@dataclass(frozen=True)
class Pool:
    """Recordings with the chance of each."""

    recordings: tuple[Recording, ...]
    chances: np.ndarray

    def draw(self, length: int, rng: np.random.Generator) -> Clip:
        """An excerpt of one of the recordings."""
        return self.recordings[rng.choice(len(self.recordings), p=self.chances)].excerpt(
            length, rng
        )


def open_pool(recipe: tuple[PoolRecipe, ...], folder: Path, sample_rate: int) -> Pool:
    """Open every recording of a list; decodes those that are not in the cache."""
    weights = np.array([entry.weight for entry in recipe])
    recordings = tuple(open_recording(folder / entry.file, sample_rate) for entry in recipe)
    return Pool(recordings, weights / weights.sum())


class RandomMixes(Dataset[tuple[Tensor, Tensor]]):
    """Item ``i`` is a mix that depends on the seed and ``i`` alone: ``(mixture, stems)``.

    ``mixture`` is ``channel time`` and ``stems`` is ``stem channel time`` with the one stem
    "vocals", both stereo float32.
    """

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
        rms = np.sqrt(np.mean(np.square(voice))) + 1e-4
        low, high = self.recipe.level
        return voice * (BACKING_RMS * decibels(rng.uniform(low, high)) / rms)

    def _sung(self, rng: np.random.Generator) -> Clip:
        voice = self._excerpt(self.vocals, rng)
        voice = apply_chain(voice, self.sample_rate, VOICE_EFFECTS, self.recipe.effects, rng)
        pan = rng.normal(0, 0.12) if rng.random() < 0.6 else rng.uniform(-0.8, 0.8)
        sides = np.array([[1 - max(0.0, pan)], [1 + min(0.0, pan)]], np.float32)
        return np.broadcast_to(voice, (2, self.length)) * sides

    def _backing(self, rng: np.random.Generator) -> Clip:
        backing = self._loud_excerpt(rng)
        if rng.random() < 0.2:
            backing = backing + decibels(rng.uniform(-15, 0)) * self._loud_excerpt(rng)
        return backing

    def _loud_excerpt(self, rng: np.random.Generator) -> Clip:
        backing = self._excerpt(self.backings, rng)
        backing = apply_chain(backing, self.sample_rate, BACKING_EFFECTS, self.recipe.effects, rng)
        backing = np.broadcast_to(backing, (2, self.length))
        if rng.random() < 0.5:
            backing = backing[::-1]
        return backing * (BACKING_RMS / (np.sqrt(np.mean(np.square(backing))) + 1e-4))

    def _excerpt(self, pool: Pool, rng: np.random.Generator) -> Clip:
        if rng.random() > 0.6:
            return pool.draw(self.length, rng)
        factor = float(rng.uniform(1 - self.recipe.speed, 1 + self.recipe.speed))
        return change_speed(pool.draw(int(np.ceil(self.length * factor)), rng), self.length, factor)
