"""What is learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from model_zoo.config import Config, broken
from trainers.config.augmentation import AugmentationRecipe
from trainers.config.voices import VoicesRecipe
from trainers.config.voxaug import VoxaugRecipe

Layout = Literal[
    "auto", "tracks", "stems", "csv", "pairs", "voxaug", "musdb18", "musdb18_hq", "voices"
]
"""How a data folder is laid out; :mod:`trainers.data.layouts` describes each."""


@dataclass(frozen=True)
class DataRecipe(Config):
    """What clips are cut from, and how they are varied.

    Attributes:
        layout: how the data folder is laid out; ``auto`` looks.
        seconds: length of a clip, in s.
        missing: what to do about a song without one of the stems: ``error``, or ``silence``.
        groups: stems of the network that are sums of stems of the data, e.g.
            ``{instrumental: [bass, drums, other]}``.
        held_out: share of the songs that is kept for validation where neither ``--validation`` nor
            the data folder names any; 0 keeps none.
        augmentation: how clips are varied.
        voices: the recordings of the layout ``voices``.
        voxaug: how the layout ``voxaug`` mixes.
    """

    layout: Layout = "auto"
    seconds: float = 3.0
    missing: Literal["error", "silence"] = "error"
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    held_out: float = 0.1
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    voices: VoicesRecipe = field(default_factory=VoicesRecipe)
    voxaug: VoxaugRecipe = field(default_factory=VoxaugRecipe)

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        listed, used = bool(self.voices.vocals), self.augmentation.used
        return broken(
            {
                "seconds must be above 0": self.seconds <= 0,
                "held_out must be a share of 0 or more and below 1": not 0 <= self.held_out < 1,
                "a group must list at least one stem": not all(self.groups.values()),
                "layout voices needs voices.vocals and voices.backings": (
                    self.layout == "voices" and not listed
                ),
                f"layout {self.layout} does not use the recordings listed below voices": (
                    self.layout not in ("auto", "voices") and listed
                ),
                f"layout voices varies its clips itself: remove augmentation.{', '.join(used)}": (
                    listed and bool(used)
                ),
            }
        )
