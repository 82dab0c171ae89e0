"""Random mixes of a voice and a backing, with the true voice as the target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainers.config import PoolRecipe, VoicesRecipe
from trainers.data.clips import ClipPlan, Clips
from trainers.data.effects import (
    BACKING_EFFECTS,
    VOICE_EFFECTS,
    apply_chain,
    change_speed,
    darken,
)
from trainers.data.recording import (
    SILENCE_RMS,
    Clip,
    Recording,
    db_to_amplitude,
    open_recordings,
    require_sound,
    rms,
)
from trainers.data.tracks import Source

LEVEL = 0.1
"""RMS to which every excerpt is normalized before random gains: -20 dB full scale."""

# Shares of clips that recipes do not configure.
RESAMPLED = 0.6  # at a different speed
NEAR_CENTRE = 0.6  # voices panned near the centre as lead voices are; others lie anywhere
SECOND_BACKING = 0.2
SWAPPED = 0.5  # backings with left and right exchanged


@dataclass(frozen=True)
class Pool:
    """A weighted set of recordings to draw from.

    Attributes:
        recordings: recordings of one sample rate.
        chances: probability of each; they add up to 1.
    """

    recordings: tuple[Recording, ...]
    chances: np.ndarray

    @property
    def samples(self) -> int:
        """Total length of all recordings."""
        return sum(recording.frames for recording in self.recordings)

    def draw(self, length: int, rng: np.random.Generator) -> Clip:
        """Draw an excerpt of one of the recordings."""
        return self.recordings[rng.choice(len(self.recordings), p=self.chances)].excerpt(
            length, rng
        )


def open_pool(recipe: tuple[PoolRecipe, ...], folder: Path, sample_rate: int) -> Pool:
    """Open all recordings of a list below ``folder``, decoding those that are not in the cache.

    Raises:
        DecodeError: a recording cannot be read, or is silent.
    """
    weights = np.array([entry.weight for entry in recipe])
    recordings = open_recordings([Source(folder / entry.file) for entry in recipe], sample_rate)
    for recording in recordings:
        require_sound(recording)
    return Pool(tuple(recordings), weights / weights.sum())


class VoiceMixes(Clips):
    """Mixes of the layout ``voices``; see :class:`~trainers.data.clips.Clips`.

    Args:
        recipe: recordings and mixing.
        folder: folder of the recipe's files.
        plan: lengths of the clips.
        sample_rate: sample rate of the mixes, in Hz.
        seed: random seed.
        needs_peak_level: whether the network expects songs with a peak of 1, as mixes then have.

    Raises:
        DecodeError: a recording cannot be read.
    """

    stems: tuple[str, ...] = ("vocals",)

    def __init__(
        self,
        recipe: VoicesRecipe,
        folder: Path,
        plan: ClipPlan,
        sample_rate: int,
        seed: int,
        *,
        needs_peak_level: bool = False,
    ) -> None:
        self.needs_peak_level = needs_peak_level
        self.recipe, self.plan, self.sample_rate, self.seed = recipe, plan, sample_rate, seed
        self.vocals = open_pool(recipe.vocals, folder, sample_rate)
        self.backings = open_pool(recipe.backings, folder, sample_rate)
        self.epoch = max(1, self.vocals.samples // plan.last.length)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return mix number ``index``."""
        rng, shape = np.random.default_rng((self.seed, index)), self.plan.at(index)
        kind = rng.random()
        silent = kind < self.recipe.silent
        bare = not silent and kind < self.recipe.silent + self.recipe.bare
        nothing = np.zeros((2, shape.length), np.float32)
        voice = nothing if silent else self._voice(shape.length, rng)
        backing = nothing if bare else self._backing(shape.length, rng)
        gain = db_to_amplitude(rng.uniform(-9, 6)) * rng.choice([-1.0, 1.0])
        parts = [
            gain * darken(part, self.sample_rate, shape.lowpass_hz) for part in (voice, backing)
        ]
        stem, rest = (torch.from_numpy(part.astype(np.float32)) for part in parts)
        mixture = stem + rest
        if self.needs_peak_level and mixture.any():
            level = mixture.abs().max()
            mixture, stem = mixture / level, stem / level
        return mixture, stem[None]

    def _voice(self, length: int, rng: np.random.Generator) -> Clip:
        voice = self._sung(length, rng)
        if rng.random() < self.recipe.second_voice:
            voice = voice + db_to_amplitude(rng.uniform(-12, -3)) * self._sung(length, rng)
        low, high = self.recipe.level
        return to_level(voice, LEVEL * db_to_amplitude(rng.uniform(low, high)))

    def _sung(self, length: int, rng: np.random.Generator) -> Clip:
        voice = self._excerpt(self.vocals, length, rng)
        voice = apply_chain(voice, self.sample_rate, VOICE_EFFECTS, self.recipe.effects, rng)
        pan = rng.normal(0, 0.12) if rng.random() < NEAR_CENTRE else rng.uniform(-0.8, 0.8)
        sides = np.array([[1 - max(0.0, pan)], [1 + min(0.0, pan)]], np.float32)
        return to_level(np.broadcast_to(voice, (2, length)) * sides, LEVEL)

    def _backing(self, length: int, rng: np.random.Generator) -> Clip:
        backing = self._loud_excerpt(length, rng)
        if rng.random() < SECOND_BACKING:
            backing = backing + db_to_amplitude(rng.uniform(-15, 0)) * self._loud_excerpt(
                length, rng
            )
        return backing

    def _loud_excerpt(self, length: int, rng: np.random.Generator) -> Clip:
        backing = self._excerpt(self.backings, length, rng)
        backing = apply_chain(backing, self.sample_rate, BACKING_EFFECTS, self.recipe.effects, rng)
        backing = np.broadcast_to(backing, (2, length))
        if rng.random() < SWAPPED:
            backing = backing[::-1]
        return to_level(backing, LEVEL)

    def _excerpt(self, pool: Pool, length: int, rng: np.random.Generator) -> Clip:
        if rng.random() > RESAMPLED:
            return pool.draw(length, rng)
        factor = float(rng.uniform(1 - self.recipe.speed, 1 + self.recipe.speed))
        return change_speed(pool.draw(int(np.ceil(length * factor)), rng), length, factor)


def to_level(clip: Clip, level: float) -> Clip:
    """Scale a clip to an RMS; clips below :data:`SILENCE_RMS` stay as they are."""
    return clip * (level / max(rms(clip), SILENCE_RMS))
