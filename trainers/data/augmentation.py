"""Random variation of clips: gain, channels, codecs, masking, pitch and tempo.

Frames of a spectrogram are read at another speed; where that skips or repeats one, phases are
turned so that every partial goes on as it did. All bins around a peak turn by one angle, which is
the identity phase locking of Laroche and Dolson 1999 (https://doi.org/10.1109/89.759041). Without
it, as in ``torchaudio.functional.phase_vocoder``, the bins of a partial drift apart and cancel: a
steady tone loses 10 dB and more. Both channels turn alike, so that the stereo image stays.

Another pitch is another tempo, undone by playing faster or slower.

Which of the recipe's ways happen, and how far each goes, depends on nothing but the recipe, one
number drawn per clip and the name of the stem. So the stems of a clip may come in any order, and
two recipes that differ in one way vary a clip alike in all others.
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
"""Containers of libsndfile and what is in them."""

RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates in Hz of MPEG-1, 2 and 2.5 layer III; Vorbis has them too."""

USUAL_RATE = 44_100

HIGHEST_COMPRESSION = 0.99
"""libsndfile refuses 1 for MP3, although its documentation allows it."""

BLOCK = 1 << 14
"""Samples handed over at once: libsndfile crashes on a minute of Vorbis in one piece."""


def round_trip(clip: Clip, rate: int, container: str, compression: float) -> Clip:
    """Encode and decode: the same length, the same place in time, fewer details.

    Args:
        clip: one or two channels, of any peak.
        rate: its sample rate in Hz; one that MP3 does not have goes by way of 44.1 kHz.
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
    """The bytes of a sound file; ``samples`` is ``time channel`` between -1 and 1."""
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


def _resampled(clip: Clip, rate: int, wanted: int) -> Clip:
    return soxr.resample(clip.T, rate, wanted).T


EDGE_OCTAVES = 1 / 12
"""Over so much a band fades, on both sides outside of it: sharper edges ring longer."""

EDGE_SECONDS = 0.005
"""Over so much a moment fades, on both sides outside of it, so that no click is heard."""

GONE = 1e-6
"""Amplitude inside a band: -120 dB."""


def without_band(clip: Clip, rate: int, low: float, high: float) -> Clip:
    """Remove what sounds from ``low`` to ``high`` Hz; the phase of the rest stays."""

    def curve(hz: np.ndarray) -> np.ndarray:
        octaves = np.log2(np.maximum(hz, 1))
        outside = np.maximum(np.log2(low) - octaves, octaves - np.log2(high))
        return 20 * np.log10(np.maximum(_kept(outside / EDGE_OCTAVES), GONE))

    return shape(clip, rate, curve)


def without_moment(clip: Clip, rate: int, start: int, count: int) -> Clip:
    """Silence ``count`` samples from ``start`` on."""
    edge = round(EDGE_SECONDS * rate)
    changed = slice(max(0, start - edge), start + count + edge)
    out = clip.copy()
    time = np.arange(clip.shape[1])[changed]
    outside = np.maximum(start - time, time - (start + count - 1))
    out[:, changed] *= _kept(outside / (edge + 1)).astype(np.float32)
    return out


def _kept(distance: np.ndarray) -> np.ndarray:
    """Half a period of a cosine from 0 at distance 0 to 1 at distance 1."""
    return 0.5 - 0.5 * np.cos(np.pi * distance.clip(0, 1))


WINDOW_SECONDS = 0.046
"""Two periods of the lowest note of a bass, 41 Hz, need as much; drums smear when it is longer."""

OVERLAP = 4
"""Windows over each sample: with a Hann window, fewer do not add up to a smooth sound."""

Frames = Complex[np.ndarray, "_channel _frame _freq"]


def needed_samples(length: int, rate: int, tempo: float) -> int:
    """Samples that :func:`retune` reads to give ``length`` of them.

    A window more than what is played: the last frames would otherwise hear the end of the sound.
    """
    return math.ceil(length * tempo) + _window_size(rate)


def retune(clip: Clip, length: int, rate: int, tempo: float, pitch: float) -> Clip:
    """Play ``tempo`` times as fast at ``pitch`` times the frequencies.

    Args:
        clip: :func:`needed_samples` of them; a shorter one is followed by silence.
        length: samples of the result.
        rate: sample rate in Hz.
        tempo: what was at ``t`` seconds comes at ``t / tempo``.
        pitch: factor of all frequencies, formants with them; what would come to lie above half
            the sample rate is left out.
    """
    speed, size = tempo / pitch, _window_size(rate)
    # Where many frames are skipped, shorter hops see to it that nothing between them goes unheard.
    window, hop = torch.hann_window(size), size // (OVERLAP * max(1, round(speed)))
    source = torch.from_numpy(fitted(clip, needed_samples(length, rate, tempo)))
    heard = stft(source, window, hop).numpy().swapaxes(1, 2)
    wanted = math.ceil(length * pitch)
    read = np.rint(np.arange(math.ceil(wanted / hop) + 1) * speed).astype(np.int64)
    played = reread(heard, np.minimum(read, heard.shape[1] - 2))
    stretched = istft(torch.from_numpy(played.swapaxes(1, 2)), window, hop, wanted)
    return change_speed(stretched.numpy(), length, pitch)


def reread(heard: Frames, read: Int[np.ndarray, " _played"]) -> Frames:
    """Frames in another order, turned so that they go on from one another.

    Where frame ``j`` follows ``i``, partials must be where ``i + 1`` would have had them.

    Args:
        heard: spectra of a sound, one hop apart.
        read: numbers of frames, each but the last with a frame after it.
    """
    nearest = _nearest_peaks(np.square(np.abs(heard)).sum(0)[read])
    turns = np.ones(nearest.shape, np.complex64)
    for n in range(1, len(read)):
        due, found = read[n - 1] + 1, read[n]
        turn = turns[n - 1]
        if due != found:
            between = (heard[:, due] * heard[:, found].conj()).sum(0)
            turn = turn * np.exp(1j * np.angle(between))
        turns[n] = turn[nearest[n]]
    return heard[:, read] * turns


def _nearest_peaks(power: Float[np.ndarray, "_frame _freq"]) -> Int[np.ndarray, "_frame _freq"]:
    """For each bin the nearest one that is louder than two on either side; itself without any."""
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
    """The power of two that is nearest to the window: 2048 samples at 44.1 and 48 kHz."""
    return int(2 ** round(math.log2(WINDOW_SECONDS * rate)))


LOWEST_HZ = 60.0
"""Bands are removed above this."""

Change = Callable[[Clip, int, Any, np.random.Generator], Clip]
"""Takes a clip, its sample rate in Hz, the way's recipe and what its details are drawn from."""


def equalise(clip: Clip, rate: int, recipe: Filter, draws: np.random.Generator) -> Clip:
    """Change levels by a smooth random curve; the phase stays."""
    return shape(clip, rate, smooth_curve(draws, recipe.db))


def reverberate(clip: Clip, rate: int, recipe: Reverb, draws: np.random.Generator) -> Clip:
    """Add the sound of a random room."""
    return room(clip, rate, draws, recipe.seconds, recipe.db)


def amplify(clip: Clip, rate: int, recipe: Gain, draws: np.random.Generator) -> Clip:
    """Multiply by a random factor."""
    factor = within(recipe.factor, draws)
    return (clip * factor).astype(np.float32)


def invert(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """Reverse the sign."""
    return -clip


def swap_sides(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """Exchange left and right."""
    return clip[::-1].copy()


def downmix(clip: Clip, rate: int, recipe: Chance, draws: np.random.Generator) -> Clip:
    """The mean of the channels in each of them."""
    return np.repeat(clip.mean(0, keepdims=True), len(clip), axis=0)


def mask_band(clip: Clip, rate: int, recipe: FrequencyMask, draws: np.random.Generator) -> Clip:
    """Remove a band whose lower edge is log-uniform, so that it ends below half the rate."""
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
"""In the order of doing, and whether each stem has a draw of its own."""


@dataclass(frozen=True)
class Variation:
    """What is done to one clip.

    Attributes:
        recipe: chance and range of each way.
        seed: what the choices are drawn from.
    """

    recipe: AugmentationRecipe
    seed: int

    @classmethod
    def draw(cls, recipe: AugmentationRecipe, rng: np.random.Generator) -> Variation:
        """The variation of the next clip; takes one number from ``rng`` whatever the recipe is."""
        return cls(recipe, int(rng.integers(2**63)))

    @cached_property
    def tempo(self) -> float:
        """How many times as fast the clip is played; 1 when it is not stretched."""
        draws = self._if_it_happens("time_stretch")
        return within(self.recipe.time_stretch.factor, draws) if draws else 1.0

    @cached_property
    def pitch(self) -> float:
        """Factor of all frequencies of the clip; 1 when it is not shifted."""
        draws = self._if_it_happens("pitch_shift")
        return 2 ** (within(self.recipe.pitch_shift.semitones, draws) / 12) if draws else 1.0

    @property
    def _retuned(self) -> bool:
        return (self.tempo, self.pitch) != (1.0, 1.0)

    def source_length(self, length: int, sample_rate: int) -> int:
        """Samples to cut from a song so that ``length`` of them come out of :meth:`apply`."""
        return needed_samples(length, sample_rate, self.tempo) if self._retuned else length

    def apply(self, stems: dict[str, Clip], length: int, sample_rate: int) -> dict[str, Clip]:
        """All that is done to stems and targets alike; the mixture is the sum of what comes out.

        Args:
            stems: :meth:`source_length` samples of each, ``channel time`` with two channels.
            length: samples of the results; a stem that is too short is followed by silence.
            sample_rate: in Hz.

        Returns:
            New arrays under the same names, in the same order.

        Raises:
            MissingExtraError: tempo or pitch are to change and torchaudio is not installed.
        """
        return {name: self._varied(name, clip, length, sample_rate) for name, clip in stems.items()}

    def degrade(self, mixture: Clip, sample_rate: int) -> Clip:
        """The mixture as a lossy codec leaves it, or as it is: same length, same place in time.

        Raises:
            EncodeError: the installed libsndfile is too old to write MP3.
        """
        draws = self._if_it_happens("codec")
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
            draws = self._if_it_happens(way, stem if apart else "")
            if draws:
                clip = change(clip, sample_rate, getattr(self.recipe, way), draws)
        return clip

    def _if_it_happens(self, way: str, stem: str = "") -> np.random.Generator | None:
        """What the details of a way are drawn from, or None when it does not happen."""
        draws = np.random.default_rng([self.seed, crc32(f"{way} {stem}".encode())])
        chance: Chance = getattr(self.recipe, way)
        return draws if draws.random() < chance.chance else None
