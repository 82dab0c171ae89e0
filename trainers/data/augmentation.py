"""Random augmentation of clips: gain, channels, codecs, masking, pitch and tempo.

Time stretching is a phase vocoder: frames of a spectrogram are read at another speed and, when
frames are skipped or repeated, phases are rotated so that partials continue. All bins around a peak
are rotated by the same angle, the identity phase locking of Laroche and Dolson 1999
(https://doi.org/10.1109/89.759041). Without it, as in ``torchaudio.functional.phase_vocoder``, the
bins of a partial drift apart and cancel: a steady tone loses 10 dB and more. Both channels are
rotated equally, which keeps the stereo image.

Pitch shifting is time stretching followed by resampling.

The choice of augmentations and their parameters depends only on the recipe, one number drawn per
clip and the name of the stem. So stems may come in any order, and two recipes that differ in one
augmentation agree in all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any
from zlib import crc32

import numpy as np
import soundfile
import soxr
import torch
from jaxtyping import Complex, Float, Int

from model_zoo.errors import EncodeError
from model_zoo.ops.spectra import istft, stft
from trainers.config.data import (
    AugmentationRecipe,
    Chance,
    Filter,
    FrequencyMask,
    Gain,
    Reverb,
    TimeMask,
)
from trainers.data.effects import change_speed, fitted, room, shape, smooth_curve, within
from trainers.data.recording import Clip

CODECS = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}
"""Containers of libsndfile and their codecs."""

RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates of MPEG-1, 2 and 2.5 layer III in Hz; Vorbis supports them too."""

USUAL_RATE = 44_100

HIGHEST_COMPRESSION = 0.99
"""libsndfile refuses 1 for MP3, although its documentation allows it."""

BLOCK = 1 << 14
"""Samples per write: libsndfile crashes on a minute of Vorbis in one piece."""


def round_trip(clip: Clip, rate: int, container: str, compression: float) -> Clip:
    """Encode and decode a clip; its length and alignment stay the same.

    Args:
        clip: one or two channels, of any peak.
        rate: sample rate in Hz; rates that MP3 does not support are resampled to 44.1 kHz.
        container: a key of :data:`CODECS`.
        compression: from 0 (the best) to 1 (the smallest file).

    Raises:
        EncodeError: the installed libsndfile is too old to write this format.
    """
    if rate not in RATES:
        usual = _resampled(clip, rate, USUAL_RATE)
        coded = round_trip(usual, USUAL_RATE, container, compression)
        return fitted(_resampled(coded, USUAL_RATE, rate), clip.shape[1])
    peak = np.float32(max(1.0, np.abs(clip).max(initial=0)))
    file = _encoded((clip / peak).T, rate, container, compression)
    decoded, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return fitted(decoded.T * peak, clip.shape[1])


def _encoded(samples: np.ndarray, rate: int, container: str, compression: float) -> BytesIO:
    """Encode to the bytes of an audio file; ``samples`` is ``time channel`` between -1 and 1."""
    if not soundfile.check_format(container, CODECS[container]):
        raise EncodeError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write {container}. "
            "Try: pip install --upgrade soundfile, or set data.augmentation.codec.chance to 0"
        )
    file = BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        rate,
        samples.shape[1],
        CODECS[container],
        format=container,
        compression_level=min(compression, HIGHEST_COMPRESSION),
    ) as writer:
        for start in range(0, len(samples), BLOCK):
            writer.write(samples[start : start + BLOCK])
    file.seek(0)
    return file


def _resampled(clip: Clip, rate: int, target_rate: int) -> Clip:
    return soxr.resample(clip.T, rate, target_rate).T


EDGE_OCTAVES = 1 / 12
"""Width of the fade on both sides of a band, outside of it: sharper edges ring longer."""

EDGE_SECONDS = 0.005
"""Duration of the fade on both sides of a silenced moment, outside of it, to avoid clicks."""

GONE = 1e-6
"""Amplitude inside a band: -120 dB."""


def without_band(clip: Clip, rate: int, low: float, high: float) -> Clip:
    """Remove the band from ``low`` to ``high`` Hz; phases stay."""

    def curve(hz: np.ndarray) -> np.ndarray:
        octaves = np.log2(np.maximum(hz, 1))
        outside = np.maximum(np.log2(low) - octaves, octaves - np.log2(high))
        return 20 * np.log10(np.maximum(_kept(outside / EDGE_OCTAVES), GONE))

    return shape(clip, rate, curve)


def without_moment(clip: Clip, rate: int, start: int, count: int) -> Clip:
    """Silence ``count`` samples from ``start``."""
    edge = round(EDGE_SECONDS * rate)
    changed = slice(max(0, start - edge), start + count + edge)
    out = clip.copy()
    time = np.arange(clip.shape[1])[changed]
    outside = np.maximum(start - time, time - (start + count - 1))
    out[:, changed] *= _kept(outside / (edge + 1)).astype(np.float32)
    return out


def _kept(distance: np.ndarray) -> np.ndarray:
    """Half a cosine period, from 0 at distance 0 to 1 at distance 1."""
    return 0.5 - 0.5 * np.cos(np.pi * distance.clip(0, 1))


WINDOW_SECONDS = 0.046
"""Window length: two periods of the lowest bass note, 41 Hz; longer windows smear drums."""

OVERLAP = 4
"""Windows over each sample: fewer Hann windows do not add up smoothly."""

Frames = Complex[np.ndarray, "_channel _frame _freq"]


def needed_samples(length: int, rate: int, tempo: float) -> int:
    """Return the number of samples that :func:`retune` reads to give ``length`` of them.

    That is one window more than is played; else the last frames would include the clip's end.
    """
    return math.ceil(length * tempo) + _window_size(rate)


def retune(clip: Clip, length: int, rate: int, tempo: float, pitch: float) -> Clip:
    """Play a clip ``tempo`` times as fast, with ``pitch`` times its frequencies.

    Args:
        clip: at least :func:`needed_samples` of audio; shorter clips are padded with silence.
        length: samples of the result.
        rate: sample rate in Hz.
        tempo: speed; sound at ``t`` seconds moves to ``t / tempo``.
        pitch: factor of all frequencies, including formants; sound above half the sample rate is
            removed.
    """
    speed, size = tempo / pitch, _window_size(rate)
    # If many frames are skipped, shorter hops make sure that nothing in between is missed.
    window, hop = torch.hann_window(size), size // (OVERLAP * max(1, round(speed)))
    source = torch.from_numpy(fitted(clip, needed_samples(length, rate, tempo)))
    spectra = stft(source, window, hop).numpy().swapaxes(1, 2)
    stretched_length = math.ceil(length * pitch)
    read = np.rint(np.arange(math.ceil(stretched_length / hop) + 1) * speed).astype(np.int64)
    played = reread(spectra, np.minimum(read, spectra.shape[1] - 2))
    stretched = istft(torch.from_numpy(played.swapaxes(1, 2)), window, hop, stretched_length)
    return change_speed(stretched.numpy(), length, pitch)


def reread(spectra: Frames, read: Int[np.ndarray, " _played"]) -> Frames:
    """Read frames in another order and rotate their phases so that they continue each other.

    If frame ``j`` follows ``i``, partials get the phases that ``i + 1`` would have had.

    Args:
        spectra: spectra of a sound, one hop apart.
        read: indices of frames; all but the last have a frame after them.
    """
    nearest = _nearest_peaks(np.square(np.abs(spectra)).sum(0)[read])
    turns = np.ones(nearest.shape, np.complex64)
    for n in range(1, len(read)):
        due, found = read[n - 1] + 1, read[n]
        turn = turns[n - 1]
        if due != found:
            between = (spectra[:, due] * spectra[:, found].conj()).sum(0)
            turn = turn * np.exp(1j * np.angle(between))
        turns[n] = turn[nearest[n]]
    return spectra[:, read] * turns


def _nearest_peaks(power: Float[np.ndarray, "_frame _freq"]) -> Int[np.ndarray, "_frame _freq"]:
    """Return each bin's nearest local peak (louder than two bins on both sides), or itself."""
    freqs = power.shape[1]
    around = np.pad(power, ((0, 0), (2, 2)))
    neighbours = [around[:, at : at + freqs] for at in (0, 1, 3, 4)]
    peak = np.logical_and.reduce([power > neighbour for neighbour in neighbours])
    here = np.arange(freqs, dtype=np.int32)
    below = np.maximum.accumulate(np.where(peak, here, -freqs), axis=1)
    above = np.minimum.accumulate(np.where(peak, here, 2 * freqs)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(here - below <= above - here, below, above)
    return np.where(peak.any(1, keepdims=True), nearest, here)


def _window_size(rate: int) -> int:
    """Return the power of two nearest to the window: 2048 samples at 44.1 and 48 kHz."""
    return int(2 ** round(math.log2(WINDOW_SECONDS * rate)))


LOWEST_HZ = 60.0
"""Lowest frequency of masked bands."""

Change = Callable[[Clip, int, Any, np.random.Generator], Clip]
"""Function of a clip, its sample rate in Hz, a section of the recipe and a random generator."""


def equalise(clip: Clip, rate: int, recipe: Filter, draws: np.random.Generator) -> Clip:
    """Equalize by a smooth random curve; phases stay."""
    return shape(clip, rate, smooth_curve(draws, recipe.db))


def reverberate(clip: Clip, rate: int, recipe: Reverb, draws: np.random.Generator) -> Clip:
    """Add the reverb of a random room."""
    return room(clip, rate, draws, recipe.seconds, recipe.db)


def amplify(clip: Clip, rate: int, recipe: Gain, draws: np.random.Generator) -> Clip:
    """Multiply by a random factor."""
    factor = within(recipe.factor, draws)
    return (clip * factor).astype(np.float32)


def invert(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """Invert the sign."""
    return -clip


def swap_sides(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """Exchange left and right."""
    return clip[::-1].copy()


def downmix(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """Fold both channels to their mean."""
    return np.repeat(clip.mean(0, keepdims=True), len(clip), axis=0)


def mask_band(clip: Clip, rate: int, recipe: FrequencyMask, draws: np.random.Generator) -> Clip:
    """Remove a band with a log-uniform lower edge that ends below half the sample rate."""
    octaves = within(recipe.octaves, draws)
    octaves_left = max(0.0, np.log2(rate / 2 / LOWEST_HZ) - octaves)
    low = LOWEST_HZ * 2 ** (octaves_left * draws.random())
    return without_band(clip, rate, low, low * 2**octaves)


def mask_moment(clip: Clip, rate: int, recipe: TimeMask, draws: np.random.Generator) -> Clip:
    """Silence a moment anywhere in the clip, at most half of it."""
    length = clip.shape[1]
    count = min(round(within(recipe.seconds, draws) * rate), length // 2)
    return without_moment(clip, rate, int(draws.integers(length - count + 1)), count)


WAYS: dict[str, tuple[Change, bool]] = {
    "filter": (equalise, True),
    "reverb": (reverberate, True),
    "gain": (amplify, True),
    "polarity": (invert, True),
    "swap": (swap_sides, True),
    "mono": (downmix, False),
    "frequency_mask": (mask_band, False),
    "time_mask": (mask_moment, False),
}
"""Augmentations in the order of application, with whether each stem is drawn separately."""


@dataclass(frozen=True)
class Variation:
    """Random choices for the augmentation of one clip.

    Attributes:
        recipe: chance and range of each augmentation.
        seed: seed of all choices.
    """

    recipe: AugmentationRecipe
    seed: int

    @classmethod
    def draw(cls, recipe: AugmentationRecipe, rng: np.random.Generator) -> Variation:
        """Draw the variation of the next clip; always takes one number from ``rng``."""
        return cls(recipe, int(rng.integers(2**63)))

    @cached_property
    def tempo(self) -> float:
        """Speed of the clip; 1 if it is not stretched."""
        draws = self._draws_if_applied("time_stretch")
        return within(self.recipe.time_stretch.factor, draws) if draws else 1.0

    @cached_property
    def pitch(self) -> float:
        """Factor of all frequencies of the clip; 1 if it is not shifted."""
        draws = self._draws_if_applied("pitch_shift")
        return 2 ** (within(self.recipe.pitch_shift.semitones, draws) / 12) if draws else 1.0

    @property
    def _retuned(self) -> bool:
        return (self.tempo, self.pitch) != (1.0, 1.0)

    def source_length(self, length: int, sample_rate: int) -> int:
        """Return how many samples to cut from a song so that :meth:`apply` gives ``length``."""
        return needed_samples(length, sample_rate, self.tempo) if self._retuned else length

    def apply(self, stems: dict[str, Clip], length: int, sample_rate: int) -> dict[str, Clip]:
        """Augment stems and targets alike; the mixture is the sum of the results.

        Args:
            stems: :meth:`source_length` samples of each, ``channel time`` with two channels.
            length: samples of the results; shorter stems are padded with silence.
            sample_rate: in Hz.

        Returns:
            New arrays under the same names, in the same order.

        Raises:
            MissingExtraError: tempo or pitch change and torchaudio is not installed.
        """
        return {name: self._varied(name, clip, length, sample_rate) for name, clip in stems.items()}

    def degrade(self, mixture: Clip, sample_rate: int) -> Clip:
        """Pass a mixture through a lossy codec, or return it unchanged; length and alignment stay.

        Raises:
            EncodeError: the installed libsndfile is too old to write MP3.
        """
        draws = self._draws_if_applied("codec")
        if draws is None:
            return mixture
        container = tuple(CODECS)[draws.integers(len(CODECS))]
        compression = within(self.recipe.codec.quality, draws)
        return round_trip(mixture, sample_rate, container, compression)

    def _varied(self, stem: str, clip: Clip, length: int, sample_rate: int) -> Clip:
        if self._retuned:
            clip = retune(clip, length, sample_rate, self.tempo, self.pitch)
        clip = fitted(clip, length)
        for way, (change, apart) in WAYS.items():
            draws = self._draws_if_applied(way, stem if apart else "")
            if draws:
                clip = change(clip, sample_rate, getattr(self.recipe, way), draws)
        return clip

    def _draws_if_applied(self, way: str, stem: str = "") -> np.random.Generator | None:
        """Return the random generator of an augmentation, or None if it is not applied."""
        draws = np.random.default_rng([self.seed, crc32(f"{way} {stem}".encode())])
        chance: Chance = getattr(self.recipe, way)
        return draws if draws.random() < chance.chance else None
