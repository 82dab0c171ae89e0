"""Effects that multiply, sustain or obscure a voice, checked by pitch and spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.data.effects import (
    CHOIR_STEPS,
    beside,
    chord,
    harmonise,
    muffle,
    smear,
    sustain,
    vocode,
)

RATE = 8000
TONE = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)[None].astype(np.float32)


def peaks(wave: np.ndarray) -> list[float]:
    """Frequencies of spectral peaks in Hz, with at least a tenth of the largest magnitude."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    local = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] > spectrum[2:])
    strong = spectrum[1:-1] > 0.1 * spectrum.max()
    return ((np.flatnonzero(local & strong) + 1) * RATE / len(wave)).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_harmonies_are_at_the_choir_steps(seed: int) -> None:
    choir = harmonise(TONE, RATE, np.random.default_rng(seed))
    intervals = {round(12 * np.log2(hz / 440)) for side in choir for hz in peaks(side)}
    assert 0 in intervals
    assert len(intervals) >= 2
    assert intervals <= {0, *CHOIR_STEPS}


@pytest.mark.parametrize("seed", range(5))
def test_a_sustained_moment_repeats(seed: int) -> None:
    """Of a clip with two seconds of noise between silence, a part of the noise repeats to the end.

    The length of the moment is the first random number that the function draws.
    """
    clip = np.zeros((1, 4 * RATE), np.float32)
    clip[:, RATE : 3 * RATE] = np.random.default_rng(9).standard_normal(2 * RATE)
    held = sustain(clip, RATE, np.random.default_rng(seed))
    size = int(np.random.default_rng(seed).uniform(0.1, 0.6) * RATE)
    period = size - size // 3
    np.testing.assert_allclose(held[:, period:], held[:, :-period], atol=1e-6)
    assert np.abs(held[:, -period:]).max() > 1


def test_crossfades_of_a_sustained_moment_sum_to_one() -> None:
    ones = np.ones((2, RATE), np.float32)
    np.testing.assert_allclose(sustain(ones, RATE, np.random.default_rng(0)), ones, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_smeared_tone_keeps_its_pitch(seed: int) -> None:
    held = smear(TONE, RATE, np.random.default_rng(seed))
    for part in np.split(held, 4, axis=1):
        spectrum = np.abs(np.fft.rfft(part[0] * np.hanning(part.shape[1])))
        assert spectrum.argmax() * RATE / part.shape[1] == pytest.approx(440, abs=12)


@pytest.mark.parametrize("seed", range(5))
def test_muffling_falls_by_12_to_30_decibels_an_octave(seed: int) -> None:
    impulse = np.zeros((1, RATE), np.float32)
    impulse[0, RATE // 2] = 1
    muffled = muffle(impulse, RATE, np.random.default_rng(seed))
    decibels = 20 * np.log10(np.abs(np.fft.rfft(muffled[0])) + 1e-9)
    assert decibels[100] == pytest.approx(0, abs=0.1)
    assert np.diff(decibels[:3900]).max() < 0.05
    assert decibels[2000] - decibels[3900] <= 30.1


@pytest.mark.parametrize("seed", range(5))
def test_vocoded_noise_has_only_the_tones_of_its_chord(seed: int) -> None:
    """Reference: the chord from the same draws; energy at its partials is ten times as dense."""
    noise = np.random.default_rng(99).standard_normal((1, 4 * RATE)).astype(np.float32)
    vocoded = vocode(noise, RATE, np.random.default_rng(seed))[0]
    draws = np.random.default_rng(seed)
    draws.random()  # the envelope's length is drawn before the chord
    tones = chord(4 * RATE, RATE, draws)
    power, tones_magnitude = (
        np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) for wave in (vocoded, tones)
    )
    partials = tones_magnitude > 0.02 * tones_magnitude.max()
    assert np.square(power[partials]).mean() > 10 * np.square(power[~partials]).mean()


def test_a_vocoded_voice_follows_the_level_of_the_voice() -> None:
    burst = np.zeros((1, 4 * RATE), np.float32)
    burst[:, : RATE // 2] = TONE[:, : RATE // 2]
    vocoded = vocode(burst, RATE, np.random.default_rng(1))[0]
    assert np.abs(vocoded[: RATE // 2]).max() > 100 * np.abs(vocoded[-RATE // 2 :]).max()


@pytest.mark.parametrize("seed", range(5))
def test_a_layer_is_within_8_decibels_of_the_clip(seed: int) -> None:
    """The layer is noise, a million times as loud before leveling; the rest is the tone."""
    noise = 1e6 * np.random.default_rng(9).standard_normal(TONE.shape)
    layered = beside(lambda clip, rate, rng: noise)(TONE, RATE, np.random.default_rng(seed))
    layer = layered - TONE
    assert np.corrcoef(layer[0], noise[0])[0, 1] > 0.999
    assert abs(10 * np.log10(np.square(layer).mean() / np.square(TONE).mean())) < 8.01


def test_a_layer_over_silence_is_silent() -> None:
    silence = np.zeros((2, RATE), np.float32)
    assert not beside(harmonise)(silence, RATE, np.random.default_rng(0)).any()
