"""How clips are varied while they are drawn: each way with its chance and its range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

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
