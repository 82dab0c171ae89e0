"""How the layout ``voxaug`` lays vocals over instrumentals."""

from __future__ import annotations

from dataclasses import dataclass, fields

from model_zoo.config import Config, broken


@dataclass(frozen=True)
class VoxaugRecipe(Config):
    """Chances, each of which is drawn on its own for every clip.

    Attributes:
        vocals: that vocals are laid over the instrumental; else a song that has its own mixture is
            heard in it, and any other without vocals.
        second_vocals: that vocals which are laid over are joined by others.
        swap: that left and right change places: of each of the vocals, and of the finished clip.
        mute: that vocals are silent on one side.
        no_vocals: that whatever vocals a clip has are left out after all.
    """

    vocals: float = 0.98
    second_vocals: float = 0.0
    swap: float = 0.5
    mute: float = 0.025
    no_vocals: float = 0.025

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                f"{entry.name} must be a share between 0 and 1": (
                    not 0 <= getattr(self, entry.name) <= 1
                )
                for entry in fields(self)
            }
        )
