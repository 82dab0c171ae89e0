"""Recipes with single augmentations, and test signals."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from trainers.config.data import AugmentationRecipe
from trainers.data.augmentation import Variation

RATE = 8000
AUGMENTATIONS = tuple(entry.name for entry in fields(AugmentationRecipe) if entry.name != "remix")


def only(*names: str, chance: float = 1.0, **ranges: Any) -> AugmentationRecipe:
    """A recipe with these augmentations only, in these ranges."""
    off = AugmentationRecipe()
    return replace(
        off, **{name: replace(getattr(off, name), chance=chance, **ranges) for name in names}
    )


def augmented(recipe: AugmentationRecipe, clip: np.ndarray, seed: int, rate: int) -> np.ndarray:
    """A clip after augmentation, as a single stem."""
    return Variation(recipe, seed).apply({"voice": clip}, clip.shape[1], rate)["voice"]


def noise(length: int, seed: int = 0) -> np.ndarray:
    """Two independent channels of white noise at -20 dB."""
    return 0.1 * np.random.default_rng(seed).standard_normal((2, length)).astype(np.float32)


def impulse(length: int, at: int) -> np.ndarray:
    """Silence except for one sample of 1 in both channels."""
    clip = np.zeros((2, length), np.float32)
    clip[:, at] = 1
    return clip


def tone(hz: float, seconds: float, rate: int) -> np.ndarray:
    """A sine of amplitude a half in both channels."""
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(0.5 * np.sin(2 * np.pi * hz * time), (2, 1)).astype(np.float32)


def rms(wave: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.square(wave, dtype=np.float64).mean()))
