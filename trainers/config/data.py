"""Configuration of training data: sources, mixing, voices and augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal

from model_zoo.config import Config, broken

Bounds = tuple[float, ...]


@dataclass(frozen=True)
class Chance(Config):
    """Something that happens to a share of the clips.

    Attributes:
        chance: that share, from 0 (never) to 1 (always).
    """

    chance: float = 0.0

    def mistakes(self) -> list[str]:
        """Shares that are none, ranges that are none."""
        rules = {"chance must be a share between 0 and 1": not 0 <= self.chance <= 1}
        for name, bounds in self._ranges():
            rules[f"{name} must be a lower and an upper bound"] = (
                len(bounds) != 2 or bounds[0] > bounds[-1]
            )
        return broken(rules)

    def _ranges(self) -> Iterator[tuple[str, Bounds]]:
        """Every attribute that holds a range."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, tuple):
                yield entry.name, value

    def _above_zero(self, name: str) -> dict[str, bool]:
        """The rule that a range starts above 0."""
        bounds: Bounds = getattr(self, name)
        return {f"{name} must be above 0": min(bounds, default=0.0) <= 0}


@dataclass(frozen=True)
class TimeStretch(Chance):
    """Another tempo at the same pitch, the same for all stems of a song.

    Attributes:
        factor: range of the speed.
    """

    factor: Bounds = (0.9, 1.1)

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return super().mistakes() + broken(self._above_zero("factor"))


@dataclass(frozen=True)
class PitchShift(Chance):
    """Another pitch at the same tempo, the same for all stems of a song.

    Attributes:
        semitones: range of the shift.
    """

    semitones: Bounds = (-2.0, 2.0)


@dataclass(frozen=True)
class Gain(Chance):
    """Another level, of each stem on its own.

    Attributes:
        factor: range of the amplitude's factor.
    """

    factor: Bounds = (0.7, 1.3)

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return super().mistakes() + broken(self._above_zero("factor"))


@dataclass(frozen=True)
class FrequencyMask(Chance):
    """A band that is removed from all stems and so from the mixture.

    Attributes:
        octaves: range of the band's width.
    """

    octaves: Bounds = (0.1, 1.0)

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return super().mistakes() + broken(self._above_zero("octaves"))


@dataclass(frozen=True)
class TimeMask(Chance):
    """A stretch of time that is removed from all stems and so from the mixture.

    Attributes:
        seconds: range of its length.
    """

    seconds: Bounds = (0.05, 0.5)

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return super().mistakes() + broken(self._above_zero("seconds"))


@dataclass(frozen=True)
class Filter(Chance):
    """A smooth random equaliser on each stem; the target is what it lets through.

    Attributes:
        db: range of its gains.
    """

    db: Bounds = (-8.0, 8.0)


@dataclass(frozen=True)
class Reverb(Chance):
    """A random room around each stem; the target is the stem in its room.

    Attributes:
        seconds: range of the time in which the sound of the room falls by 60 dB.
        db: range of its level below the dry sound.
    """

    seconds: Bounds = (0.15, 1.5)
    db: Bounds = (-22.0, -6.0)

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return super().mistakes() + broken(self._above_zero("seconds"))


@dataclass(frozen=True)
class Codec(Chance):
    """The mixture as a lossy codec leaves it; the target stays clean.

    Attributes:
        quality: range of the compression, from 0 (the best) to 1 (the smallest file).
    """

    quality: Bounds = (0.2, 0.9)

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        outside = not all(0 <= bound <= 1 for bound in self.quality)
        return super().mistakes() + broken({"quality must lie between 0 and 1": outside})


@dataclass(frozen=True)
class AugmentationRecipe(Config):
    """Ways of varying a clip, in the order in which they are applied.

    But for the codec, what is done to a stem is done to the target, so that the stems of a clip
    add up to its mixture.

    Attributes:
        remix: stems of one clip come from different songs.
        time_stretch: another tempo.
        pitch_shift: another pitch.
        filter: an equaliser.
        reverb: a room.
        gain: another level.
        polarity: a stem with its sign reversed.
        swap: left and right of a stem exchanged.
        mono: all stems folded to their middle.
        frequency_mask: a band left out.
        time_mask: a moment left out.
        codec: a lossy codec on the mixture.
    """

    remix: Chance = field(default_factory=Chance)
    time_stretch: TimeStretch = field(default_factory=TimeStretch)
    pitch_shift: PitchShift = field(default_factory=PitchShift)
    filter: Filter = field(default_factory=Filter)
    reverb: Reverb = field(default_factory=Reverb)
    gain: Gain = field(default_factory=Gain)
    polarity: Chance = field(default_factory=Chance)
    swap: Chance = field(default_factory=Chance)
    mono: Chance = field(default_factory=Chance)
    frequency_mask: FrequencyMask = field(default_factory=FrequencyMask)
    time_mask: TimeMask = field(default_factory=TimeMask)
    codec: Codec = field(default_factory=Codec)

    @property
    def used(self) -> tuple[str, ...]:
        """Names of what ever happens."""
        return tuple(e.name for e in fields(self) if getattr(self, e.name).chance > 0)


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


Layout = Literal[
    "auto", "tracks", "stems", "csv", "pairs", "voxaug", "musdb18", "musdb18_hq", "voices"
]
"""How a data folder is laid out; :mod:`trainers.data.layouts` describes each."""


@dataclass(frozen=True)
class DataRecipe(Config):
    """What clips are cut from, and how they are varied.

    Attributes:
        layout: how the data folder is laid out; ``auto`` looks.
        clip_seconds: length of a clip, in s.
        missing: what to do about a song without one of the stems: ``error``, or ``silence``.
        groups: stems of the network that are sums of stems of the data, e.g.
            ``{instrumental: [bass, drums, other]}``.
        validation_fraction: share of the songs that is kept for validation where neither
            ``--validation`` nor the data folder names any; 0 keeps none.
        augmentation: how clips are varied.
        voices: the recordings of the layout ``voices``.
        voxaug: how the layout ``voxaug`` mixes.
    """

    layout: Layout = "auto"
    clip_seconds: float = 3.0
    missing: Literal["error", "silence"] = "error"
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    validation_fraction: float = 0.1
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    voices: VoicesRecipe = field(default_factory=VoicesRecipe)
    voxaug: VoxaugRecipe = field(default_factory=VoxaugRecipe)

    def mistakes(self) -> list[str]:
        """Contradictions between the values."""
        listed, used = bool(self.voices.vocals), self.augmentation.used
        return broken(
            {
                "clip_seconds must be above 0": self.clip_seconds <= 0,
                "validation_fraction must be a share of 0 or more and below 1": not 0
                <= self.validation_fraction
                < 1,
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
