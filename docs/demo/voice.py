"""The singer: Festival speaks each phrase, the WORLD vocoder sings it on the written melody.

Speech gives the timbre: its spectral envelope and breath noise, frame by frame. The phones are
stretched so that every vowel begins with its note, consonants keep their natural length, and the
pitch is drawn anew: glides, vibrato, small errors. See Morise et al., "WORLD: a vocoder-based
high-quality speech synthesis system" (2016).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyworld  # type: ignore[import-untyped]
import score
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Signal = NDArray[np.float64]

SAMPLE_RATE = 44_100  # Hz
FRAME = 0.005  # seconds between two frames of the vocoder
FFT_SIZE = 2048

VOICE = "voice_cmu_us_slt_arctic_hts"
DIPHTHONGS = {"aw", "ay", "ey", "ow", "oy"}
VOWELS = DIPHTHONGS | {"aa", "ae", "ah", "ao", "ax", "eh", "er", "ih", "iy", "uh", "uw"}
SONORANTS = {"l", "r", "w", "y", "m", "n", "ng"}
VOICELESS = {"p", "t", "k", "f", "th", "s", "sh", "ch", "hh"}

HELD = (0.3, 0.5)  # the part of a vowel that is stretched: after its onset, before its glide
LONGEST_CLUSTER = 0.45  # consonants take at most this part of the note before them
RELEASE = 0.06  # seconds of fading after the last phone

GLIDE = 0.030  # seconds: the width of the step from one pitch to the next
GLIDE_EARLY = 0.030  # seconds by which the step leads the vowel
SCOOP = (-1.2, 0.07)  # semitones below the first note of a phrase, seconds to reach it
VIBRATO_RATE = 5.6  # Hz
VIBRATO_DEPTH = 0.38  # semitones
VIBRATO_ONSET = (0.25, 0.65)  # seconds into the note: begins, is full

# Effort and air that speech lacks, as (Hz, dB) curves over the envelope.
VOICED_TONE = ((0, 0), (900, 0), (2000, 5), (3200, 10), (5000, 8), (9000, 2), (16000, -3))
VOICELESS_TONE = ((0, -8), (2000, 0), (5000, -4), (7000, -9), (16000, -12))
BREATH = ((0, 0.0), (3000, 0.03), (6000, 0.25), (10000, 0.6), (22050, 0.9))
SWELL = 1.0  # dB: how much the loudness wanders, over some 0.15 s
FORMANT_CONTRAST = 1.15  # statistical voices blur their formants


@dataclass(frozen=True)
class Phone:
    """A speech sound and its place in the recording, in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Speech:
    """A spoken phrase in the terms of WORLD: envelope and aperiodicity of shape (frames, bins)."""

    phones: list[Phone]
    envelope: Signal
    aperiodicity: Signal
    voiced: Signal


@dataclass(frozen=True)
class Take:
    """One performance: its random numbers, its pitch offset in semitones and its delay."""

    seed: int
    detune: float = 0.0
    delay: float = 0.0


def speak(words: str, folder: Path) -> Speech:
    """Let Festival say the words and analyse the sound with WORLD."""
    wave, labels = folder / "speech.wav", folder / "speech.lab"
    utterance = f'(set! spoken (utt.synth (Utterance Text "{words}")))'
    program = (
        f'({VOICE}) {utterance} (utt.save.wave spoken "{wave}") (utt.save.segs spoken "{labels}")'
    )
    subprocess.run(["festival", "--pipe"], input=program, text=True, check=True)
    samples, rate = soundfile.read(wave)
    return analyse(samples, rate, read_phones(labels.read_text()))


def read_phones(labels: str) -> list[Phone]:
    """Read Festival's segment labels (end time, colour, name), without the pauses."""
    phones, start = [], 0.0
    for line in labels.split("#", 1)[1].strip().splitlines():
        end, _, name = line.split()
        if name != "pau":
            phones.append(Phone(name, start, float(end)))
        start = float(end)
    return phones


def analyse(samples: Signal, rate: int, phones: list[Phone]) -> Speech:
    """Envelope, aperiodicity and voicing of speech, at the sample rate of the song."""
    sound = soxr.resample(samples, rate, SAMPLE_RATE)
    f0, times = pyworld.harvest(
        sound, SAMPLE_RATE, f0_floor=90, f0_ceil=400, frame_period=FRAME * 1e3
    )
    envelope = pyworld.cheaptrick(sound, f0, times, SAMPLE_RATE, fft_size=FFT_SIZE)
    aperiodicity = pyworld.d4c(sound, f0, times, SAMPLE_RATE, fft_size=FFT_SIZE)
    return Speech(phones, envelope, aperiodicity, voicing(f0 > 0, phones))


def voicing(detected: NDArray[np.bool_], phones: list[Phone]) -> Signal:
    """One where the voice sounds: certain for most phones, as detected for the others."""
    voiced = detected.astype(float)
    for phone in phones:
        frames = slice(round(phone.start / FRAME), round(phone.end / FRAME))
        if phone.name in VOWELS | SONORANTS:
            voiced[frames] = 1
        elif phone.name in VOICELESS:
            voiced[frames] = 0
    return voiced


def sing(speech: Speech, notes: list[score.Note], take: Take, frames: int) -> Signal:
    """Sing one phrase: mono samples, as long as the song, silent outside the phrase."""
    chance = np.random.default_rng(take.seed)
    onsets = np.array([score.seconds(note.start) for note in notes])
    onsets = onsets + take.delay + chance.normal(0, 0.008, len(notes))
    end = score.seconds(notes[-1].start + notes[-1].beats) + take.delay
    sung, spoken = alignment(speech.phones, onsets, end)
    times = np.arange(sung[0], sung[-1] + RELEASE, FRAME)
    source = np.interp(times, sung, spoken)
    envelope, aperiodicity, voiced = colour(speech, source / FRAME)
    envelope *= 10 ** (_drift(len(times), 0.15, SWELL, chance) / 10)[:, None]
    f0 = melody(times, notes, onsets, take, chance) * voiced
    sound = pyworld.synthesize(f0, envelope, aperiodicity, SAMPLE_RATE, frame_period=FRAME * 1e3)
    return _place(_fade(sound), times[0], frames)


def alignment(phones: list[Phone], onsets: Signal, end: float) -> tuple[Signal, Signal]:
    """Pairs of times, sung and spoken, between which time runs evenly.

    Args:
        phones: what was spoken, with exactly one vowel for each note.
        onsets: when the notes begin, in seconds of the song.
        end: when the last consonant ends, in seconds of the song.
    """
    vowels = [phone for phone in phones if phone.name in VOWELS]
    assert len(vowels) == len(onsets), f"{len(vowels)} vowels, {len(onsets)} notes"
    pairs = [(onsets[0] - (vowels[0].start - phones[0].start), phones[0].start)]
    following = [(onset, vowel.start) for onset, vowel in zip(onsets[1:], vowels[1:], strict=True)]
    following.append((end, phones[-1].end))
    for vowel, onset, (close, next_start) in zip(vowels, onsets, following, strict=True):
        cluster = min(next_start - vowel.end, LONGEST_CLUSTER * (close - onset))
        pairs.extend(_vowel(vowel, onset, close - cluster))
    pairs.append(following[-1])
    sung, spoken = zip(*pairs, strict=True)
    return np.array(sung), np.array(spoken)


def _vowel(vowel: Phone, start: float, end: float) -> list[tuple[float, float]]:
    length = vowel.end - vowel.start
    pairs = [(start, vowel.start), (end, vowel.end)]
    if end - start > length:
        before, after = HELD[0] * length, (1 - HELD[1]) * length
        held = [(start + before, vowel.start + before), (end - after, vowel.end - after)]
        pairs[1:1] = held
    return pairs


def colour(speech: Speech, positions: Signal) -> tuple[Signal, Signal, Signal]:
    """Envelope, aperiodicity and voicing at fractional frame numbers, with the tone of a singer."""
    decibels = sharpen(10 * np.log10(_at(speech.envelope, positions) + 1e-16))
    aperiodicity = np.maximum(_at(speech.aperiodicity, positions), _curve(BREATH))
    voiced = (_at(speech.voiced[:, None], positions)[:, 0] > 0.5).astype(float)
    tone = np.where(voiced[:, None] > 0, _curve(VOICED_TONE), _curve(VOICELESS_TONE))
    return 10 ** ((decibels + tone) / 10), np.clip(aperiodicity, 0, 1), voiced


def sharpen(decibels: Signal) -> Signal:
    """Raise the peaks and lower the valleys of envelopes: all of the cepstrum but its slope."""
    cepstrum = np.fft.irfft(decibels)
    cepstrum[:, 2:-1] *= FORMANT_CONTRAST
    return np.fft.rfft(cepstrum).real


def melody(
    times: Signal, notes: list[score.Note], onsets: Signal, take: Take, chance: np.random.Generator
) -> Signal:
    """The pitch of the voice in Hz at each time: written notes, glides, vibrato and drift."""
    current = np.maximum(np.searchsorted(onsets - GLIDE_EARLY, times, side="right") - 1, 0)
    pitches = np.array([note.pitch for note in notes], dtype=float)[current]
    line = gaussian_filter1d(pitches, GLIDE / FRAME, mode="nearest")
    depth, fall = SCOOP
    line += depth * np.exp(-np.maximum(times - times[0], 0) / fall)
    line += _vibrato(times - onsets[current], chance)
    line += (
        take.detune + _drift(len(times), 0.12, 0.1, chance) + _drift(len(times), 0.01, 0.02, chance)
    )
    return 440 * 2 ** ((line - 69) / 12)


def _vibrato(age: Signal, chance: np.random.Generator) -> Signal:
    depth = VIBRATO_DEPTH * np.interp(age, VIBRATO_ONSET, (0.0, 1.0))
    rate = VIBRATO_RATE * (1 + _drift(len(age), 0.3, 0.04, chance))
    phase = 2 * np.pi * np.cumsum(rate) * FRAME + chance.uniform(0, 2 * np.pi)
    return depth * np.sin(phase)


def _drift(length: int, width: float, size: float, chance: np.random.Generator) -> Signal:
    """Smooth noise: `width` seconds wide, `size` in root mean square."""
    noise = gaussian_filter1d(chance.normal(size=length + 200), width / FRAME)[100:-100]
    return size * noise / np.std(noise)


def _at(table: Signal, positions: Signal) -> Signal:
    whole = np.clip(np.floor(positions).astype(int), 0, len(table) - 2)
    part = np.clip(positions - whole, 0, 1)[:, None]
    return (1 - part) * table[whole] + part * table[whole + 1]


def _curve(points: tuple[tuple[float, float], ...]) -> Signal:
    frequencies, values = zip(*points, strict=True)
    return np.interp(np.linspace(0, SAMPLE_RATE / 2, FFT_SIZE // 2 + 1), frequencies, values)


def _fade(sound: Signal) -> Signal:
    length = round(RELEASE * SAMPLE_RATE)
    sound[-length:] *= np.cos(np.linspace(0, np.pi / 2, length)) ** 2
    return sound


def _place(sound: Signal, start: float, frames: int) -> Signal:
    first = round(start * SAMPLE_RATE)
    return np.pad(sound, (first, max(0, frames - first - len(sound))))[:frames]
