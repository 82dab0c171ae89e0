"""Renders synthetic songs for a first run, a demonstration or a test.

The stems differ in ways that networks pick up quickly. Vocals glide, with vibrato, formants and
pauses; drums are bursts of noise and a falling tone in a rhythm; the bass is low saw-like notes;
the other instruments are steady chords left and right. So a small network learns to separate them
within minutes, which says nothing about how well it would separate real songs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import soundfile
from jaxtyping import Float, Int64

from model_zoo.errors import OutputError
from model_zoo.files import staged
from model_zoo.introspection import build_on_meta
from trainers.config import Recipe
from trainers.data.recording import cache_folder, db_to_amplitude, rms

Wave = Float[np.ndarray, " time"]
Stereo = Float[np.ndarray, "channel time"]

LEVELS = {"vocals": -19.0, "drums": -21.0, "bass": -21.0, "other": -23.0}
"""RMS of each stem in dB full scale, before the whole song is scaled to its peak."""

PEAK = 0.9
"""Peak of the mixture; songs above it are scaled down as a whole."""

BEATS = 4
"""Beats of a bar."""

SCALE = (0, 2, 4, 5, 7, 9, 11)
"""Semitones of a major scale above its root."""

CHORDS = (0, 3, 4, 5)
"""Scale degrees of the chords."""

VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410))
"""Formants in Hz of a, e, i and o as men speak them: G. Peterson and H. Barney, Control methods
used in a study of the vowels, J. Acoust. Soc. Am. 24 (1952), table II."""

CONTROL = 64
"""Samples between two levels of an overtone, which are interpolated linearly."""

Colour = Callable[[Wave, Int64[np.ndarray, " time"]], Wave]

HIGHEST = 0.45
"""Highest overtone as a share of the sample rate, against aliasing."""


@dataclass(frozen=True)
class Melody:
    """Tempo, key and chords of one song.

    Attributes:
        frames: samples per channel.
        rate: sample rate in Hz.
        beat: samples per beat.
        root: root of the scale, in semitones above the A of 55 Hz.
        chords: scale degree of each bar's chord.
    """

    frames: int
    rate: int
    beat: int
    root: int
    chords: tuple[int, ...]

    @classmethod
    def draw(cls, seconds: float, rate: int, rng: np.random.Generator) -> Melody:
        """Draw a tempo of 80 to 140 beats per minute, a key, and four chords that repeat."""
        frames, beat = round(seconds * rate), round(60 / rng.uniform(80, 140) * rate)
        chords = tuple(int(chord) for chord in rng.choice(CHORDS, 4))
        return cls(frames, rate, beat, int(rng.integers(0, 12)), chords)

    def hz(self, degree: int, octave: int = 0) -> float:
        """Return the frequency of a scale degree; degrees continue into the next octaves."""
        turns, step = divmod(degree, len(SCALE))
        return float(55 * 2 ** (octave + turns + (self.root + SCALE[step]) / 12))

    def chord(self, at: int) -> int:
        """Return the scale degree of the chord at a sample."""
        return self.chords[at // (BEATS * self.beat) % len(self.chords)]


def render_songs(
    folder: Path, songs: int, seconds: float, sample_rate: int, seed: int = 0
) -> list[Path]:
    """Write songs in the layout ``tracks``: one folder per song, with its stems and mixture.

    The files are 16-bit WAV, and the stems add up exactly to the mixture.

    Args:
        folder: parent of the songs' folders.
        songs: number of songs.
        seconds: duration of each song.
        sample_rate: sample rate in Hz.
        seed: random seed; the first songs of a seed are the same for any number of songs.

    Returns:
        The folder of each song.

    Raises:
        OutputError: a song already exists, or cannot be written.
    """
    song_folders = [folder / f"song_{number:03d}" for number in range(1, songs + 1)]
    for song_folder in song_folders:
        if song_folder.exists():
            raise OutputError(f"{song_folder} already exists: remove it, or choose another folder")
    for number, song_folder in enumerate(song_folders):
        stems = play(seconds, sample_rate, np.random.default_rng((seed, number)))
        _write(song_folder, stems, sample_rate)
    return song_folders


def play(seconds: float, sample_rate: int, rng: np.random.Generator) -> dict[str, Stereo]:
    """Render the stems of a song in stereo; their sum stays within :data:`PEAK`."""
    score = Melody.draw(seconds, sample_rate, rng)
    stems = {name: _to_level(player(score, rng), LEVELS[name]) for name, player in PLAYERS.items()}
    loudest = float(np.abs(sum(stems.values())).max())
    gain = min(1.0, PEAK / loudest) if loudest else 1.0
    return {name: gain * stem for name, stem in stems.items()}


def sing(score: Melody, rng: np.random.Generator) -> Stereo:
    """Render a centred voice: it glides between notes, with vibrato, and rests after two bars."""
    time = np.arange(score.frames) / score.rate
    pitch, loud = np.empty((2, score.frames))
    vowel = np.empty(score.frames, np.int64)
    at = 0
    while at < score.frames:
        size = round(score.beat * float(rng.choice((0.5, 1, 1, 2))))
        note = slice(at, at + size)
        pitch[note] = np.log2(score.hz(score.chord(at) + int(rng.choice((0, 1, 2, 4, 5))), 2))
        breathes = at // score.beat % (2 * BEATS) == 2 * BEATS - 1
        loud[note] = not breathes and rng.random() > 0.2
        vowel[note] = rng.integers(len(VOWELS))
        at += size
    tremble = rng.uniform(0.2, 0.45) / 12 * np.sin(2 * np.pi * rng.uniform(5, 6.5) * time)
    hz = 2 ** (_smooth(pitch, score.rate // 12) + tremble)
    voice = overtones_of(hz, score.rate, 40, 0.8, _formants(vowel))
    return np.tile(voice * _smooth(loud, score.rate // 30), (2, 1))


def drum(score: Melody, rng: np.random.Generator) -> Stereo:
    """Render drums: kick on beats 1 and 3, snare on 2 and 4, off-centre hats on most eighths."""
    out = np.zeros((2, score.frames))
    kick, snare, hat = _kick(score.rate), _burst(score.rate, 0.2, rng), _hat(score.rate, rng)
    side = rng.uniform(0.5, 1, (2, 1))
    for number, at in enumerate(range(0, score.frames, max(1, score.beat // 2))):
        if number % 2 == 0:
            _add(out, at, (snare if number % 4 else kick) * rng.uniform(0.8, 1))
        if rng.random() < 0.9:
            _add(out, at, side * hat * rng.uniform(0.2, 0.4))
        if number % 8 == 5 and rng.random() < 0.5:
            _add(out, at, kick)
    return out


def pluck(score: Melody, rng: np.random.Generator) -> Stereo:
    """Render a centred bass: the root of each chord, sometimes its fifth, on every eighth."""
    hz, loud = np.empty((2, score.frames))
    eighth = max(1, score.beat // 2)
    for at in range(0, score.frames, eighth):
        note = slice(at, at + eighth)
        hz[note] = score.hz(score.chord(at) + int(rng.choice((0, 0, 0, 4))), 0)
        fade = np.exp(-3 * np.arange(eighth) / eighth) * (rng.random() < 0.9)
        loud[note] = fade[: score.frames - at]
    saw = overtones_of(hz, score.rate, 14, 1.0)
    return np.tile(saw * _smooth(loud, score.rate // 200), (2, 1))


def accompany(score: Melody, rng: np.random.Generator) -> Stereo:
    """Render chords of three steady tones, each at its own pan position."""
    out = np.zeros((2, score.frames))
    bar, softness = BEATS * score.beat, rng.uniform(1.2, 1.8)
    for at in range(0, score.frames, bar):
        size = min(bar, score.frames - at)
        swell = np.minimum(1, np.arange(size) / (0.02 * score.rate))
        for step in (0, 2, 4):
            hz = np.full(size, score.hz(score.chord(at) + step, 2))
            tone = overtones_of(hz, score.rate, 8, softness)
            out[:, at : at + size] += rng.uniform(0.2, 1, (2, 1)) * tone * swell * swell[::-1]
    return out


PLAYERS: dict[str, Callable[[Melody, np.random.Generator], Stereo]] = {
    "vocals": sing,
    "drums": drum,
    "bass": pluck,
    "other": accompany,
}


def overtones_of(
    hz: Wave, rate: int, count: int, slope: float, colour: Colour = lambda hz, _: np.ones_like(hz)
) -> Wave:
    """Render a harmonic tone; harmonic ``k`` has the amplitude ``k ** -slope``.

    Args:
        hz: fundamental frequency at every sample.
        rate: sample rate in Hz.
        count: maximum number of harmonics; those beyond :data:`HIGHEST` are left out.
        slope: 1 gives a sawtooth.
        colour: gain for frequencies in Hz at given sample numbers.
    """
    places = np.arange(len(hz))
    coarse = places[::CONTROL]
    turns, out = 2 * np.pi * np.cumsum(hz) / rate, np.zeros(len(hz))
    for number in range(1, count + 1):
        overtone = number * hz[coarse]
        level = number**-slope * (overtone < HIGHEST * rate) * colour(overtone, coarse)
        if level.any():
            out += np.interp(places, coarse, level) * np.sin(number * turns)
    return out


def _formants(vowel: Int64[np.ndarray, " time"]) -> Colour:
    """Return the gains of three formants of a third of an octave, each 8 dB lower, above -26 dB.

    Args:
        vowel: index of the vowel at every sample.
    """
    centres = np.log2(np.array(VOWELS, float)).T

    def colour(hz: Wave, places: Int64[np.ndarray, " time"]) -> Wave:
        level = np.full_like(hz, db_to_amplitude(-26))
        for number, centre in enumerate(centres):
            away = (np.log2(hz) - centre[vowel[places]]) / 0.33
            level += db_to_amplitude(-8 * number) * np.exp(-np.square(away))
        return level

    return colour


def _kick(rate: int) -> Wave:
    """Render a tone that falls from 150 to 45 Hz within a fifth of a second."""
    time = np.arange(round(0.25 * rate)) / rate
    hz = 45 + 105 * np.exp(-time / 0.03)
    return 1.5 * np.sin(2 * np.pi * np.cumsum(hz) / rate) * np.exp(-time / 0.07)


def _burst(rate: int, seconds: float, rng: np.random.Generator) -> Wave:
    """Render noise that fades by 60 dB within ``seconds``."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.5 * rng.standard_normal(len(time)) * db_to_amplitude(-60) ** (time / seconds)


def _hat(rate: int, rng: np.random.Generator) -> Wave:
    """Render a short noise burst, high-passed by two differences."""
    return np.diff(_burst(rate, 0.06, rng), 2)


def _add(out: Stereo, at: int, sound: np.ndarray) -> None:
    """Add a sound at a sample position; samples beyond the end are dropped."""
    end = min(out.shape[1], at + sound.shape[-1])
    out[:, at:end] += sound[..., : end - at]


def _smooth(curve: Wave, width: int) -> Wave:
    """Return the moving mean over ``width`` samples, with the ends repeated."""
    width = max(1, width)
    padded = np.pad(curve, (width // 2 + 1, width - width // 2 - 1), mode="edge")
    sums = np.cumsum(padded)
    return (sums[width:] - sums[:-width]) / width


def _to_level(stem: Stereo, db: float) -> Stereo:
    level = rms(stem)
    return stem * (db_to_amplitude(db) / level) if level else stem


def _write(folder: Path, stems: dict[str, Stereo], rate: int) -> None:
    """Round to 16-bit steps, so that sums of files equal sums of sounds."""
    steps = {name: np.rint(stem.T * 2**15).astype(np.int16) for name, stem in stems.items()}
    mixture = np.sum(list(steps.values()), axis=0, dtype=np.int16)
    for name, wave in {**steps, "mixture": mixture}.items():
        with staged(folder / f"{name}.wav") as temporary:
            soundfile.write(temporary, wave, rate, "PCM_16", format="WAV")


NAME = "songs-by-formula"
SONGS = 8
SECONDS = 20.0

EDITION = 1
"""Changes whenever :mod:`~trainers.data.synthetic` renders other audio for the same seed."""


def sample_set(sample_rate: int) -> Path:
    """Return a folder with songs in the layout ``tracks``, rendered once and then cached.

    Each machine renders its own copy; all copies are equal. Processes that render at the same time
    do not conflict: the first one to finish names the folder.

    Args:
        sample_rate: sample rate of the network, in Hz.

    Raises:
        OutputError: the cache cannot be written.
    """
    folder = cache_folder().with_name("sample-sets") / f"{NAME}-{EDITION}-{sample_rate}"
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f".{folder.name}.{uuid4().hex}.part")
    try:
        render_songs(temporary, SONGS, SECONDS, sample_rate)
        _name(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def songs_for(recipe: Recipe) -> Path:
    """Return the songs at the sample rate of a recipe's network.

    Raises:
        UnknownNameError: there is no such architecture.
        ConfigError: its options contradict each other.
        OutputError: the cache cannot be written.
    """
    network = build_on_meta(recipe.model.architecture, recipe.model.options)
    return sample_set(network.sample_rate)


def is_sample_set(name: str) -> bool:
    """Return whether a folder name is that of such songs."""
    return name.startswith(f"{NAME}-")


def _name(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster
            raise OutputError(f"Cannot write {folder} ({error.strerror})") from error
