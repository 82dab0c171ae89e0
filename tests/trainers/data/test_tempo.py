"""Tempo without pitch and pitch without tempo. Truth: where pips of a tone are, and how high."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.data.variations import noise, rms, tone
from trainers.data.augmentation import needed_samples, reread, retune

RATE = 44_100
PIPS = np.array([0.3, 0.71, 1.0, 1.52])
"""Seconds at which a tone of 1 kHz is heard for 30 ms."""


def pips(samples: int) -> np.ndarray:
    seconds = np.arange(samples) / RATE
    bells = np.exp(-0.5 * ((seconds - PIPS[:, None]) / 0.006) ** 2).sum(0)
    return np.tile(bells * np.sin(2 * np.pi * 1000 * seconds), (2, 1)).astype(np.float32)


def loud_moments(wave: np.ndarray) -> np.ndarray:
    """Centres in seconds of the stretches in which the envelope is above a fifth of its peak."""
    envelope = np.convolve(np.square(wave), np.hanning(RATE // 100), "same")
    loud = np.flatnonzero(envelope > 0.2 * envelope.max())
    runs = np.split(loud, np.flatnonzero(np.diff(loud) > RATE // 20) + 1)
    return np.array([np.average(run, weights=envelope[run]) for run in runs]) / RATE


def pitch_of(wave: np.ndarray) -> float:
    """The mean frequency in Hz, each weighted by its energy."""
    power = np.square(np.abs(np.fft.rfft(wave)))
    return float(np.average(np.fft.rfftfreq(len(wave), 1 / RATE), weights=power))


@settings(max_examples=12)
@given(tempo=st.floats(0.8, 1.25), pitch=st.sampled_from([1.0, 0.5, 2.0, 2 ** (2 / 12)]))
def test_events_move_by_the_tempo_and_frequencies_by_the_pitch(tempo: float, pitch: float) -> None:
    length = round(1.7 * RATE / tempo)
    out = retune(pips(needed_samples(length, RATE, tempo)), length, RATE, tempo, pitch)
    assert out.shape == (2, length)
    assert out.dtype == np.float32
    np.testing.assert_allclose(loud_moments(out[0]), PIPS / tempo, atol=0.006)
    assert pitch_of(out[0]) == pytest.approx(1000 * pitch, rel=0.01)


@pytest.mark.parametrize(("tempo", "pitch"), [(0.9, 1.0), (1.1, 1.0), (1.0, 0.9), (1.0, 2.0)])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_steady_tone_stays_one_from_the_first_sample_to_the_last(
    tempo: float, pitch: float, rate: int
) -> None:
    """An octave above 440 Hz is 880 Hz, and the level is the same in each twentieth."""
    length = rate
    source = tone(440, 2, rate)[:, : needed_samples(length, rate, tempo)]
    out = retune(source, length, rate, tempo, pitch)[0]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(length)))
    assert spectrum.argmax() == pytest.approx(440 * pitch, abs=1)
    parts = np.array_split(out, 20)
    np.testing.assert_allclose([rms(part) for part in parts], rms(source), rtol=0.15)


def turns_of(name: str) -> np.ndarray:
    """Periods that each partial of a sound of two seconds has had, ``partial time``."""
    time = np.arange(2 * RATE) / RATE
    return {
        "chord": np.outer([220, 277.2, 329.6, 440, 880], time),
        "vibrato": (600 * time + 6 * np.sin(2 * np.pi * 6 * time))[None],
        "glide": (200 * time + 600 * time**2)[None],
    }[name]


@pytest.mark.parametrize("name", ["chord", "vibrato", "glide"])
@pytest.mark.parametrize(("tempo", "pitch"), [(0.9, 1.0), (1.1, 1.0), (1.0, 0.9), (1.0, 1.1)])
def test_partials_keep_their_level_after_they_begin(name: str, tempo: float, pitch: float) -> None:
    """Half a second of faint noise comes first: the bins' phases agree on nothing there."""
    partials = 0.2 * np.sin(2 * np.pi * turns_of(name)).sum(0)
    source = 0.01 * noise(2 * RATE)
    source[:, RATE // 2 :] += partials[RATE // 2 :].astype(np.float32)
    out = retune(source, RATE, RATE, tempo, pitch)[:, round(0.6 * RATE / tempo) :]
    change = 20 * np.log10(rms(out) / rms(source[:, round(0.6 * RATE) : round(RATE * tempo)]))
    assert abs(change) < 0.5


def test_frames_in_their_order_are_not_changed() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((2, 30, 65, 2)) @ [1, 1j]).astype(np.complex64)
    frames[:, 7] = 0
    assert np.array_equal(reread(frames, np.arange(30)), frames)


@given(factor=st.floats(0.8, 1.25))
@settings(max_examples=10)
def test_tempo_and_pitch_together_are_another_speed(factor: float) -> None:
    """Played faster as a tape is, a tone ends up where arithmetic says, to the phase."""
    length = RATE // 4
    source = tone(440, 1, RATE)[:, : needed_samples(length, RATE, factor)]
    out = retune(source, length, RATE, factor, factor)
    expected = tone(440 * factor, 0.25, RATE)
    np.testing.assert_allclose(out[:, 200:-200], expected[:, 200:-200], atol=2e-3)


def test_sides_that_are_alike_stay_alike_and_silence_stays_silent() -> None:
    source = noise(RATE)
    source[1] = -0.5 * source[0]
    out = retune(source, RATE // 2, RATE, 1.07, 1.03)
    np.testing.assert_allclose(out[1], -0.5 * out[0], atol=1e-3)
    assert not retune(0 * source, RATE // 2, RATE, 1.07, 1.03).any()


def test_what_the_shift_lifts_above_half_the_rate_is_gone() -> None:
    source = tone(15_000, 1, RATE)
    out = retune(source, RATE // 2, RATE, 1.0, 2.0)
    assert rms(out[:, 2000:-2000]) < 1e-3 * rms(source)


@pytest.mark.parametrize("length", [1, 100, 3000])
def test_clips_shorter_than_a_window(length: int) -> None:
    for samples in (1, needed_samples(length, RATE, 1.1)):
        assert retune(noise(samples), length, RATE, 1.1, 0.9).shape == (2, length)
