"""Configuration of training data: sources, mixing, voices and augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from model_zoo.config import Config, broken

Bounds = tuple[float, ...]


@dataclass(frozen=True)
class Chance(Config):
    """Base of augmentations that are applied to a share of the clips.

    Attributes:
        chance: that share, from 0 (never) to 1 (always).
        positive: name of the range that starts above 0.
    """

    positive: ClassVar[str] = ""

    chance: float = 0.0

    def mistakes(self) -> list[str]:
        """List shares outside 0 to 1, and invalid ranges."""
        rules = {"chance must be a share between 0 and 1": not 0 <= self.chance <= 1}
        for name, bounds in self._ranges():
            rules[f"{name} must be a lower and an upper bound"] = (
                len(bounds) != 2 or bounds[0] > bounds[-1]
            )
            if name == self.positive:
                rules[f"{name} must be above 0"] = min(bounds, default=0.0) <= 0
        return broken(rules)

    def _ranges(self) -> Iterator[tuple[str, Bounds]]:
        """Yield all attributes that hold a range."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, tuple):
                yield entry.name, value


@dataclass(frozen=True)
class TimeStretch(Chance):
    """Changes the tempo without the pitch, equally for all stems of a song.

    Attributes:
        factor: range of the speed factor.
    """

    positive: ClassVar[str] = "factor"

    factor: Bounds = (0.9, 1.1)


@dataclass(frozen=True)
class PitchShift(Chance):
    """Changes the pitch without the tempo, equally for all stems of a song.

    Attributes:
        semitones: range of the shift.
    """

    semitones: Bounds = (-2.0, 2.0)


@dataclass(frozen=True)
class Gain(Chance):
    """Changes the level of each stem separately.

    Attributes:
        factor: range of the amplitude factor.
    """

    positive: ClassVar[str] = "factor"

    factor: Bounds = (0.7, 1.3)


@dataclass(frozen=True)
class FrequencyMask(Chance):
    """Removes a frequency band from all stems, and so from the mixture.

    Attributes:
        octaves: range of the band's width.
    """

    positive: ClassVar[str] = "octaves"

    octaves: Bounds = (0.1, 1.0)


@dataclass(frozen=True)
class TimeMask(Chance):
    """Silences a moment in all stems, and so in the mixture.

    Attributes:
        seconds: range of its length.
    """

    positive: ClassVar[str] = "seconds"

    seconds: Bounds = (0.05, 0.5)


@dataclass(frozen=True)
class Filter(Chance):
    """Applies a smooth random equalizer to each stem; the target is the filtered stem.

    Attributes:
        db: range of the gains.
    """

    db: Bounds = (-8.0, 8.0)


@dataclass(frozen=True)
class Reverb(Chance):
    """Adds the reverb of a random room to each stem; the target includes the reverb.

    Attributes:
        seconds: range of the reverberation time (RT60).
        db: range of the reverb's level relative to the dry sound.
    """

    positive: ClassVar[str] = "seconds"

    seconds: Bounds = (0.15, 1.5)
    db: Bounds = (-22.0, -6.0)


@dataclass(frozen=True)
class Codec(Chance):
    """Passes the mixture through a lossy codec; the target stays clean.

    Attributes:
        quality: range of the compression, from 0 (the best) to 1 (the smallest file).
    """

    quality: Bounds = (0.2, 0.9)

    def mistakes(self) -> list[str]:
        """List invalid values."""
        outside = not all(0 <= bound <= 1 for bound in self.quality)
        return super().mistakes() + broken({"quality must lie between 0 and 1": outside})


@dataclass(frozen=True)
class AugmentationRecipe(Config):
    """Augmentations of a clip, in the order in which they are applied.

    All but the codec change targets along with the mixture, so that the stems still add up to it.

    Attributes:
        remix: take the stems of a clip from different songs.
        time_stretch: change the tempo.
        pitch_shift: change the pitch.
        filter: equalize.
        reverb: add a room.
        gain: change the level.
        polarity: invert the sign of a stem.
        swap: exchange left and right of a stem.
        mono: fold all stems to mono.
        frequency_mask: remove a frequency band.
        time_mask: silence a moment.
        codec: pass the mixture through a lossy codec.
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
        """Names of the augmentations with a chance above 0."""
        return tuple(e.name for e in fields(self) if getattr(self, e.name).chance > 0)


@dataclass(frozen=True)
class PoolRecipe(Config):
    """An audio file to cut excerpts from.

    Attributes:
        file: path inside the data folder.
        weight: how often it is drawn, relative to the other files of its list.
    """

    file: str = ""
    weight: float = 1.0

    def mistakes(self) -> list[str]:
        """List invalid values."""
        return broken(
            {
                "file must be named": not self.file,
                f"weight of {self.file} must be above 0": self.weight <= 0,
            }
        )


@dataclass(frozen=True)
class VoicesRecipe(Config):
    """Mixing of the layout ``voices``.

    Attributes:
        vocals: files that contain only a voice.
        backings: files without any voice.
        silent: share of clips without a voice.
        bare: share of clips without a backing.
        second_voice: share of voiced clips with a second voice, 3 to 12 dB quieter.
        level: range of the voice's level relative to the backing in dB, uniform.
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
        """List contradictions between values."""
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
    """Mixing of the layout ``voxaug``: probabilities, drawn independently for every clip.

    Attributes:
        vocals: vocals are mixed into the instrumental. Otherwise, a song with its own mixture keeps
            its own vocals, and any other has none.
        second_vocals: a second vocal track is added to mixed-in vocals.
        swap: left and right are exchanged, for each vocal track and for the finished clip.
        mute: vocals are silent on one side.
        no_vocals: a clip loses its vocals after all.
    """

    vocals: float = 0.98
    second_vocals: float = 0.0
    swap: float = 0.5
    mute: float = 0.025
    no_vocals: float = 0.025

    def mistakes(self) -> list[str]:
        """List invalid values."""
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
    """Source and augmentation of training clips.

    Attributes:
        layout: how the data folder is laid out; ``auto`` detects it.
        clip_seconds: length of a clip, in s.
        missing: how to treat a song that lacks a stem: ``error``, or ``silence``.
        groups: network stems that are sums of data stems, e.g.
            ``{instrumental: [bass, drums, other]}``.
        validation_fraction: share of songs reserved for validation if neither ``--validation`` nor
            the data folder provides any; 0 for none.
        augmentation: augmentations of clips.
        voices: the recordings of the layout ``voices``.
        voxaug: mixing of the layout ``voxaug``.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "seconds": "clip_seconds",
        "held_out": "validation_fraction",
    }

    layout: Layout = "auto"
    clip_seconds: float = 3.0
    missing: Literal["error", "silence"] = "error"
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    validation_fraction: float = 0.1
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    voices: VoicesRecipe = field(default_factory=VoicesRecipe)
    voxaug: VoxaugRecipe = field(default_factory=VoxaugRecipe)

    def mistakes(self) -> list[str]:
        """List contradictions between values."""
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
                f"layout voices has its own augmentation: remove augmentation.{', '.join(used)}": (
                    listed and bool(used)
                ),
            }
        )
