"""Tempo and pitch shifts, checked by the times and frequencies of short tones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.data.variations import noise, rms, tone
from trainers.data.augmentation import needed_samples, reread, retune

RATE = 44_100
TONE_TIMES = np.array([0.3, 0.71, 1.0, 1.52])
"""Times in seconds of short tones of 1 kHz, 30 ms long."""


def short_tones(samples: int) -> np.ndarray:
    seconds = np.arange(samples) / RATE
    envelopes = np.exp(-0.5 * ((seconds - TONE_TIMES[:, None]) / 0.006) ** 2).sum(0)
    return np.tile(envelopes * np.sin(2 * np.pi * 1000 * seconds), (2, 1)).astype(np.float32)


def loud_times(wave: np.ndarray) -> np.ndarray:
    """Centers in seconds of the parts in which the envelope is above a fifth of its peak."""
    envelope = np.convolve(np.square(wave), np.hanning(RATE // 100), "same")
    loud = np.flatnonzero(envelope > 0.2 * envelope.max())
    runs = np.split(loud, np.flatnonzero(np.diff(loud) > RATE // 20) + 1)
    return np.array([np.average(run, weights=envelope[run]) for run in runs]) / RATE


def pitch_of(wave: np.ndarray) -> float:
    """The mean frequency in Hz, weighted by energy."""
    power = np.square(np.abs(np.fft.rfft(wave)))
    return float(np.average(np.fft.rfftfreq(len(wave), 1 / RATE), weights=power))


@settings(max_examples=12)
@given(tempo=st.floats(0.8, 1.25), pitch=st.sampled_from([1.0, 0.5, 2.0, 2 ** (2 / 12)]))
def test_tempo_moves_events_and_pitch_moves_frequencies(tempo: float, pitch: float) -> None:
    length = round(1.7 * RATE / tempo)
    out = retune(short_tones(needed_samples(length, RATE, tempo)), length, RATE, tempo, pitch)
    assert out.shape == (2, length)
    assert out.dtype == np.float32
    np.testing.assert_allclose(loud_times(out[0]), TONE_TIMES / tempo, atol=0.006)
    assert pitch_of(out[0]) == pytest.approx(1000 * pitch, rel=0.01)


@pytest.mark.parametrize(("tempo", "pitch"), [(0.9, 1.0), (1.1, 1.0), (1.0, 0.9), (1.0, 2.0)])
@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_steady_tone_stays_steady(tempo: float, pitch: float, rate: int) -> None:
    """The frequency is multiplied by the pitch, and the level is the same in each twentieth."""
    length = rate
    source = tone(440, 2, rate)[:, : needed_samples(length, rate, tempo)]
    out = retune(source, length, rate, tempo, pitch)[0]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(length)))
    assert spectrum.argmax() == pytest.approx(440 * pitch, abs=1)
    parts = np.array_split(out, 20)
    np.testing.assert_allclose([rms(part) for part in parts], rms(source), rtol=0.15)


def phases_of(name: str) -> np.ndarray:
    """Phases of the partials of a sound of two seconds in periods, ``partial time``."""
    time = np.arange(2 * RATE) / RATE
    return {
        "chord": np.outer([220, 277.2, 329.6, 440, 880], time),
        "vibrato": (600 * time + 6 * np.sin(2 * np.pi * 6 * time))[None],
        "glide": (200 * time + 600 * time**2)[None],
    }[name]


@pytest.mark.parametrize("name", ["chord", "vibrato", "glide"])
@pytest.mark.parametrize(("tempo", "pitch"), [(0.9, 1.0), (1.1, 1.0), (1.0, 0.9), (1.0, 1.1)])
def test_partials_keep_their_level_after_an_onset(name: str, tempo: float, pitch: float) -> None:
    """Half a second of faint noise comes first, in which the phases of bins are random."""
    partials = 0.2 * np.sin(2 * np.pi * phases_of(name)).sum(0)
    source = 0.01 * noise(2 * RATE)
    source[:, RATE // 2 :] += partials[RATE // 2 :].astype(np.float32)
    out = retune(source, RATE, RATE, tempo, pitch)[:, round(0.6 * RATE / tempo) :]
    change = 20 * np.log10(rms(out) / rms(source[:, round(0.6 * RATE) : round(RATE * tempo)]))
    assert abs(change) < 0.5


def test_frames_in_order_are_not_changed() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((2, 30, 65, 2)) @ [1, 1j]).astype(np.complex64)
    frames[:, 7] = 0
    assert np.array_equal(reread(frames, np.arange(30)), frames)


@given(factor=st.floats(0.8, 1.25))
@settings(max_examples=10)
def test_equal_tempo_and_pitch_are_a_change_of_speed(factor: float) -> None:
    """Like a faster tape: reference is the tone at the higher frequency, including its phase."""
    length = RATE // 4
    source = tone(440, 1, RATE)[:, : needed_samples(length, RATE, factor)]
    out = retune(source, length, RATE, factor, factor)
    expected = tone(440 * factor, 0.25, RATE)
    np.testing.assert_allclose(out[:, 200:-200], expected[:, 200:-200], atol=2e-3)


def test_proportional_channels_stay_proportional() -> None:
    source = noise(RATE)
    source[1] = -0.5 * source[0]
    out = retune(source, RATE // 2, RATE, 1.07, 1.03)
    np.testing.assert_allclose(out[1], -0.5 * out[0], atol=1e-3)
    assert not retune(0 * source, RATE // 2, RATE, 1.07, 1.03).any()


def test_frequencies_above_half_the_rate_are_removed() -> None:
    source = tone(15_000, 1, RATE)
    out = retune(source, RATE // 2, RATE, 1.0, 2.0)
    assert rms(out[:, 2000:-2000]) < 1e-3 * rms(source)


@pytest.mark.parametrize("length", [1, 100, 3000])
def test_clips_shorter_than_a_window(length: int) -> None:
    for samples in (1, needed_samples(length, RATE, 1.1)):
        assert retune(noise(samples), length, RATE, 1.1, 0.9).shape == (2, length)
