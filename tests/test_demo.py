"""The demo song in docs/demo: the committed audio against the score it was rendered from."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import stemcli

DEMO = Path(__file__).parents[1] / "docs/demo"
SAMPLE_RATE = 44_100  # Hz
WINDOW = 4096  # samples, about 25 periods of the lowest note
SUNG_RANGE = (180.0, 700.0)  # Hz

# Word: (phrase, note in it) for the long notes, which have a stable pitch.
LONG_NOTES = {"boats": (0, 2), "line": (0, 7), "all": (1, 2), "find": (1, 7), "home": (4, 5)}


def read(name: str) -> NDArray[np.int16]:
    samples, rate = soundfile.read(DEMO / name, dtype="int16", always_2d=True)
    assert rate == SAMPLE_RATE
    return samples


@pytest.fixture(scope="module")
def vocals() -> NDArray[np.int16]:
    return read("stems/vocals.flac")


@pytest.fixture(scope="module")
def score() -> dict[str, Any]:
    return runpy.run_path(str(DEMO / "score.py"))


def test_stems_add_up_to_the_song_exactly(vocals: NDArray[np.int16]) -> None:
    """Property: the song is the sum of its stems as integers, and peaks at -1 dBFS."""
    song = read("song.flac").astype(np.int32)
    assert song.shape == (len(song), 2)
    assert np.array_equal(vocals + read("stems/instrumental.flac").astype(np.int32), song)
    assert 20 * np.log10(np.abs(song).max() / 32768) == pytest.approx(-1, abs=0.01)


def test_the_voice_starts_with_its_first_phrase(
    vocals: NDArray[np.int16], score: dict[str, Any]
) -> None:
    """The score begins with two bars without voice; a consonant starts before its note."""
    first = score["seconds"](score["PHRASES"][0].start)
    silent = round((first - 0.3) * SAMPLE_RATE)
    assert not vocals[:silent].any()
    assert vocals[silent : silent + SAMPLE_RATE].any()


@pytest.mark.parametrize("word", LONG_NOTES)
def test_the_voice_sings_the_written_note(
    word: str, vocals: NDArray[np.int16], score: dict[str, Any]
) -> None:
    """The pitch by autocorrelation, computed in this test, against the note in the score."""
    phrase, index = LONG_NOTES[word]
    written = score["PHRASES"][phrase]
    note = score["notes"](written.melody, written.start)[index]
    begin, end = (
        round(score["seconds"](beat) * SAMPLE_RATE)
        for beat in (note.start, note.start + note.beats)
    )
    middle = vocals[begin + SAMPLE_RATE // 8 : end - SAMPLE_RATE // 6].mean(axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(middle, WINDOW)[:: WINDOW // 4]
    sung = np.median([69 + 12 * np.log2(pitch(frame) / 440) for frame in frames])
    assert sung == pytest.approx(note.pitch, abs=0.3)


def pitch(frame: NDArray[np.float64]) -> float:
    """The frequency in Hz at the autocorrelation's peak, refined by a parabola."""
    spectrum = np.fft.rfft(frame * np.hanning(WINDOW), 2 * WINDOW)
    autocorrelation = np.fft.irfft(np.square(np.abs(spectrum)))
    shortest, longest = (int(SAMPLE_RATE / frequency) for frequency in reversed(SUNG_RANGE))
    lag = shortest + int(np.argmax(autocorrelation[shortest:longest]))
    before, peak, after = autocorrelation[lag - 1 : lag + 2]
    return float(SAMPLE_RATE / (lag + 0.5 * (before - after) / (before - 2 * peak + after)))


def test_pitch_of_a_known_tone() -> None:
    """By hand: 220 Hz with its second and third harmonics has the pitch 220 Hz."""
    time = np.arange(WINDOW) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * 220 * harmonic * time) for harmonic in (1, 2, 3))
    assert pitch(np.asarray(tone)) == pytest.approx(220, rel=0.002)


def test_melody_has_a_note_for_every_syllable(score: dict[str, Any]) -> None:
    """Counted by hand from the lyrics."""
    syllables = [len(score["notes"](phrase.melody, 0)) for phrase in score["PHRASES"]]
    assert syllables == [8, 8, 10, 9, 6]


def test_the_excerpt_is_the_sum_of_its_stems() -> None:
    """Property: exact as integers, and no stem has a silent second."""
    song = read("real/song.flac").astype(np.int32)
    stems = [
        read(f"real/stems/{name}.flac").astype(np.int32) for name in ("vocals", "instrumental")
    ]
    assert np.array_equal(sum(stems), song)
    assert song.shape == (12 * SAMPLE_RATE, 2)
    for stem in stems:
        assert np.abs(stem.reshape(12, -1)).max(axis=1).min() > 300


def decibels(estimate: NDArray[np.float32], true: NDArray[np.int16]) -> float:
    """Global SDR."""
    reference = true / 32768
    return float(10 * np.log10(np.square(reference).sum() / np.square(reference - estimate).sum()))


@pytest.mark.parametrize(("folder", "least"), [("", 6.5), ("real/", 12.5)])
def test_the_default_model_separates_the_demo_songs(folder: str, least: float) -> None:
    """Reference: the stems of the mix. docs/demo and the README state the scores."""
    song = read(f"{folder}song.flac").astype(np.float32) / 32768
    stems = stemcli.Session(stemcli.Options(precision="fp32")).separate_array(song, SAMPLE_RATE)
    assert decibels(stems["vocals"], read(f"{folder}stems/vocals.flac")) > least
