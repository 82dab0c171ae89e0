"""Recordings of voices and of bands that were never one song: what the layout ``voices`` mixes."""

from __future__ import annotations

from dataclasses import dataclass

from model_zoo.config import Config, broken


@dataclass(frozen=True)
class PoolRecipe(Config):
    """One sound file to cut excerpts from.

    Attributes:
        file: path below the data folder.
        weight: how often it is drawn, relative to the others of its list.
    """

    file: str = ""
    weight: float = 1.0

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return broken(
            {
                "file must be named": not self.file,
                f"weight of {self.file} must be above 0": self.weight <= 0,
            }
        )


@dataclass(frozen=True)
class VoicesRecipe(Config):
    """What is mixed, and how.

    Attributes:
        vocals: files with nothing but a voice.
        backings: files without any voice.
        silent: share of clips without a voice.
        bare: share of clips without a backing.
        second_voice: share of voiced clips that get a second voice, 3 to 12 dB quieter.
        level: range in dB of the voice over the backing, drawn evenly.
        speed: largest change of speed and pitch by resampling, as a fraction.
        effects: chance of an effect on a clip; :mod:`trainers.data.effects` lists the effects
            and how often each is used relative to this.
    """

    vocals: tuple[PoolRecipe, ...] = ()
    backings: tuple[PoolRecipe, ...] = ()
    silent: float = 0.1
    bare: float = 0.03
    second_voice: float = 0.15
    level: tuple[float, ...] = (-12.0, 6.0)
    speed: float = 0.12
    effects: float = 0.5

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        rules = {
            "vocals and backings must each list at least one file": (
                bool(self.vocals) != bool(self.backings)
            ),
            "second_voice must be a share between 0 and 1": not 0 <= self.second_voice <= 1,
            "speed must be 0 or more and below 1": not 0 <= self.speed < 1,
            "effects must be 0 or more": self.effects < 0,
            "silent and bare must be shares that add up to at most 1": (
                min(self.silent, self.bare) < 0 or self.silent + self.bare > 1
            ),
            "level must be a lower and an upper bound in dB": (
                len(self.level) != 2 or self.level[0] > self.level[-1]
            ),
        }
        return broken(rules)
