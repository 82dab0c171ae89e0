"""Effects, against properties of each and numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.commands import RATE
from tests.trainers.data.amplitude import amplitude
from trainers.data import effects


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.85, 1.15))
def test_speed_moves_pitch_by_the_same_factor(factor: float) -> None:
    time = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time)[None].astype(np.float32)
    played = effects.change_speed(tone, 2 * RATE, factor)
    assert played.shape == (1, 2 * RATE)
    spectrum = np.abs(np.fft.rfft(played[0] * np.hanning(2 * RATE)))
    assert spectrum.argmax() / 2 == pytest.approx(440 * factor, abs=1)


def test_speed_does_not_alias() -> None:
    """A tone that moves above half the sample rate is removed, not aliased."""
    time = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 0.47 * RATE * time)[None].astype(np.float32)
    assert np.abs(effects.change_speed(tone, 2 * RATE, 1.12)[0, 500:-500]).max() < 0.01


@pytest.mark.parametrize("effect", [effect for effect, _ in effects.VOICE_EFFECTS])
def test_effects_keep_the_length_and_stay_finite(effect: effects.Effect) -> None:
    rng = np.random.default_rng(5)
    clip = rng.standard_normal((1, RATE)).astype(np.float32)
    once = effect(clip, RATE, np.random.default_rng(1))
    again = effect(clip, RATE, np.random.default_rng(1))
    assert once.shape in {(1, RATE), (2, RATE)}
    assert once.dtype == np.float32
    assert np.isfinite(once).all()
    assert np.array_equal(once, again)
    assert not np.array_equal(np.broadcast_to(clip, once.shape), once)


def test_linear_effects_are_linear() -> None:
    rng = np.random.default_rng(6)
    first, second = rng.standard_normal((2, 1, RATE)).astype(np.float32)
    for effect in (effects.equaliser, effects.room, effects.echo):
        both = effect(first + second, RATE, np.random.default_rng(2))
        separate = sum(effect(clip, RATE, np.random.default_rng(2)) for clip in (first, second))
        assert np.abs(both - separate).max() < 1e-4


@given(seed=st.integers(0, 1000))
def test_the_compressor_removes_a_fifth_to_two_thirds_of_the_decibels(seed: int) -> None:
    clip = np.ones((1, RATE), np.float32)
    clip[:, RATE // 2 :] = 0.3
    squeezed = effects.compress(clip, RATE, np.random.default_rng(seed))
    step = 20 * np.log10(squeezed[0, 100] / squeezed[0, -100])
    total = 20 * np.log10(1 / 0.3)
    assert total * (1 - 0.66) - 0.1 < step < total * (1 - 0.2) + 0.1


def impulse(seconds: float = 4.0, at: int = 1000) -> np.ndarray:
    clip = np.zeros((1, int(seconds * RATE)), np.float32)
    clip[0, at] = 1
    return clip


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_a_room_is_causal_and_in_its_level_range(seed: int) -> None:
    """The tail after an impulse of energy 1 has -22 to 0 dB, and its last tenth 50 dB less."""
    out = effects.room(impulse(), RATE, np.random.default_rng(seed))
    assert not out[:, :999].round(6).any()
    wet = out.astype(np.float64)
    wet[:, 1000] -= 1
    level = 10 * np.log10(np.square(wet).sum(1))
    assert ((level > -22.1) & (level < 0.1)).all()
    audible = np.flatnonzero(np.abs(wet).max(0) > 1e-9)
    first, last = (np.square(wet[:, part]).mean() for part in np.array_split(audible, 10)[::9])
    assert 10 * np.log10(first / last) == pytest.approx(54, abs=5)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_echoes_are_equally_spaced_and_fade(seed: int) -> None:
    out = effects.echo(impulse(), RATE, np.random.default_rng(seed))
    places = np.flatnonzero(out.any(0))
    assert 2 <= len(places) <= 4
    assert len(set(np.diff(places))) == 1
    assert 0.06 <= np.diff(places)[0] / RATE <= 0.4
    assert (out[:, places[1:]] < 10 ** (-6 / 20)).all()


def test_doublings_are_delayed_by_8_to_35_milliseconds() -> None:
    out = effects.doubling(impulse(), RATE, np.random.default_rng(1))
    for side in out:
        (late,) = np.flatnonzero(side)[1:]
        assert 0.008 <= (late - 1000) / RATE <= 0.035


@pytest.mark.parametrize("effect", [effects.echo, effects.doubling])
@pytest.mark.parametrize("rate", [1, 1_000_000])
def test_delays_of_zero_and_beyond_the_end(effect: effects.Effect, rate: int) -> None:
    clip = np.ones((1, 100), np.float32)
    out = effect(clip, rate, np.random.default_rng(0))
    assert out.shape == (2, 100)
    assert (out == 1).all() if rate > 1 else (out > 1).all()


def test_overdrive_keeps_the_peak_and_does_not_alias() -> None:
    """The third harmonic of 0.2 of the sample rate is 0.6, whose alias would be 0.4."""
    tone = np.sin(2 * np.pi * 0.2 * np.arange(RATE))[None].astype(np.float32) * 0.5
    for seed in range(5):
        distorted = effects.overdrive(tone, RATE, np.random.default_rng(seed))[0, 500:-500]
        assert 0.5 <= amplitude(distorted, 0.2 * RATE) < 0.7
        assert amplitude(distorted, 0.4 * RATE) < 0.002
    inverted = effects.overdrive(-tone, RATE, np.random.default_rng(4))[0, 500:-500]
    assert np.abs(inverted + distorted).max() < 1e-6


def test_chains_apply_by_chance() -> None:
    clip = impulse(0.5)
    assert effects.apply_chain(clip, RATE, CHAIN, 0.0, np.random.default_rng(0)) is clip
    always = effects.apply_chain(clip, RATE, CHAIN, 1.0, np.random.default_rng(0))
    assert np.array_equal(always, 6 * clip)


CHAIN = (
    (lambda clip, rate, rng: 2 * clip, 1.0),
    (lambda clip, rate, rng: 3 * clip, 1.2),
)
