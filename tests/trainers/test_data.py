"""Recordings, augmentation and mixing. Truth: laws of each operation, and numbers by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from model_zoo.errors import DecodeError
from tests.trainers.conftest import RATE
from tests.trainers.runs import voices, with_voices
from trainers.config import Recipe
from trainers.data import effects
from trainers.data.pool import Recording, open_recording
from trainers.data.voices import to_level


def test_recording_keeps_the_samples_and_decodes_once(recordings: Path) -> None:
    first = open_recording(recordings / "voice.wav", RATE)
    expected, _ = soundfile.read(recordings / "voice.wav")
    assert np.abs(first.samples[:, 0] / 32767 - expected).max() < 1.5 / 32767
    stored = list((recordings / "cache").rglob("*.npy"))
    before = [path.stat().st_mtime_ns for path in stored]
    open_recording(recordings / "voice.wav", RATE)
    assert [path.stat().st_mtime_ns for path in stored] == before


def test_a_changed_file_is_decoded_again(recordings: Path) -> None:
    path = recordings / "voice.wav"
    open_recording(path, RATE)
    soundfile.write(path, np.full(RATE, 0.5), RATE)
    assert np.abs(open_recording(path, RATE).samples[:, 0] / 32767 - 0.5).max() < 1e-3


def test_excerpts_avoid_silence_and_pad_short_recordings(recordings: Path) -> None:
    wave = np.zeros(10 * RATE)
    wave[7 * RATE : 8 * RATE] = 0.5
    soundfile.write(recordings / "gap.wav", wave, RATE)
    recording = open_recording(recordings / "gap.wav", RATE)
    rng = np.random.default_rng(0)
    found = [np.abs(recording.excerpt(2 * RATE, rng, tries=40)).max() for _ in range(10)]
    assert min(found) == pytest.approx(0.5, abs=1e-3)
    assert recording.excerpt(20 * RATE, rng).shape == (1, 20 * RATE)
    silence = Recording(np.zeros((RATE, 2), np.int16), RATE)
    assert not silence.excerpt(RATE // 2, rng).any()


def test_missing_recording_is_named(recordings: Path) -> None:
    with pytest.raises(DecodeError, match=r"none\.wav: No such file"):
        open_recording(recordings / "none.wav", RATE)
    (recordings / "text.wav").write_text("not audio")
    with pytest.raises(DecodeError, match=r"No sound can be read from .*text\.wav"):
        open_recording(recordings / "text.wav", RATE)
    soundfile.write(recordings / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(DecodeError, match=r"empty\.wav"):
        open_recording(recordings / "empty.wav", RATE)
    soundfile.write(recordings / "round.wav", np.zeros((9, 6)), RATE)
    with pytest.raises(DecodeError, match=r"round\.wav has 6 channels: mix it down"):
        open_recording(recordings / "round.wav", RATE)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(0.0, r"odd\.wav is silent"), (np.nan, r"odd\.wav holds NaN .* at 0\.50 s")],
)
def test_recordings_that_teach_nothing_are_refused(
    recordings: Path, value: float, sentence: str
) -> None:
    wave = np.zeros((RATE, 2), np.float32)
    wave[RATE // 2] = value
    soundfile.write(recordings / "odd.wav", wave, RATE, subtype="FLOAT")
    with pytest.raises(DecodeError, match=sentence):
        open_recording(recordings / "odd.wav", RATE)


def test_a_recording_is_brought_to_the_rate_of_the_network(recordings: Path) -> None:
    """A tone keeps its frequency in Hz: 3 s of it have three times as many periods."""
    time = np.arange(3 * 44_100) / 44_100
    soundfile.write(recordings / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44_100)
    samples = open_recording(recordings / "tone.wav", RATE).samples[:, 0]
    assert len(samples) == 3 * RATE
    assert np.abs(np.fft.rfft(samples)).argmax() == 3 * 440


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.85, 1.15))
def test_speed_moves_pitch_by_the_same_factor(factor: float) -> None:
    time = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time)[None].astype(np.float32)
    played = effects.change_speed(tone, 2 * RATE, factor)
    assert played.shape == (1, 2 * RATE)
    spectrum = np.abs(np.fft.rfft(played[0] * np.hanning(2 * RATE)))
    assert spectrum.argmax() / 2 == pytest.approx(440 * factor, abs=1)


def amplitude(wave: np.ndarray, hz: float) -> float:
    """Of one frequency in a mono wave, by correlation over whole periods."""
    turns = np.exp(-2j * np.pi * hz * np.arange(wave.shape[-1]) / RATE)
    return float(2 * np.abs((wave * turns).mean()))


def test_speed_folds_nothing_back() -> None:
    """A tone that faster playing lifts beyond half the rate is gone, not mirrored."""
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
        apart = sum(effect(clip, RATE, np.random.default_rng(2)) for clip in (first, second))
        assert np.abs(both - apart).max() < 1e-4


@given(seed=st.integers(0, 1000))
def test_compressor_takes_a_fifth_to_two_thirds_of_the_decibels(seed: int) -> None:
    clip = np.ones((1, RATE), np.float32)
    clip[:, RATE // 2 :] = 0.3
    squeezed = effects.compress(clip, RATE, np.random.default_rng(seed))
    step = 20 * np.log10(squeezed[0, 100] / squeezed[0, -100])
    whole = 20 * np.log10(1 / 0.3)
    assert whole * (1 - 0.66) - 0.1 < step < whole * (1 - 0.2) + 0.1


def impulse(seconds: float = 4.0, at: int = 1000) -> np.ndarray:
    clip = np.zeros((1, int(seconds * RATE)), np.float32)
    clip[0, at] = 1
    return clip


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_room_is_causal_and_as_loud_as_it_says(seed: int) -> None:
    """What follows an impulse of energy 1 has -22 to 0 dB, and its last tenth 50 dB less."""
    out = effects.room(impulse(), RATE, np.random.default_rng(seed))
    assert not out[:, :999].round(6).any()
    wet = out.astype(np.float64)
    wet[:, 1000] -= 1
    level = 10 * np.log10(np.square(wet).sum(1))
    assert ((level > -22.1) & (level < 0.1)).all()
    sounding = np.flatnonzero(np.abs(wet).max(0) > 1e-9)
    first, last = (np.square(wet[:, part]).mean() for part in np.array_split(sounding, 10)[::9])
    assert 10 * np.log10(first / last) == pytest.approx(54, abs=5)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_echoes_come_at_equal_distances_and_fade(seed: int) -> None:
    out = effects.echo(impulse(), RATE, np.random.default_rng(seed))
    places = np.flatnonzero(out.any(0))
    assert 2 <= len(places) <= 4
    assert len(set(np.diff(places))) == 1
    assert 0.06 <= np.diff(places)[0] / RATE <= 0.4
    assert (out[:, places[1:]] < 10 ** (-6 / 20)).all()


def test_doubles_are_late_by_8_to_35_milliseconds() -> None:
    out = effects.doubling(impulse(), RATE, np.random.default_rng(1))
    for side in out:
        (late,) = np.flatnonzero(side)[1:]
        assert 0.008 <= (late - 1000) / RATE <= 0.035


@pytest.mark.parametrize("effect", [effects.echo, effects.doubling])
@pytest.mark.parametrize("rate", [1, 1_000_000])
def test_delays_of_nothing_and_beyond_the_end(effect: effects.Effect, rate: int) -> None:
    clip = np.ones((1, 100), np.float32)
    out = effect(clip, rate, np.random.default_rng(0))
    assert out.shape == (2, 100)
    assert (out == 1).all() if rate > 1 else (out > 1).all()


def test_overdrive_keeps_the_peak_and_folds_nothing_back() -> None:
    """The third overtone of 0.2 of the rate lies at 0.6, whose mirror image would be 0.4."""
    tone = np.sin(2 * np.pi * 0.2 * np.arange(RATE))[None].astype(np.float32) * 0.5
    for seed in range(5):
        bent = effects.overdrive(tone, RATE, np.random.default_rng(seed))[0, 500:-500]
        assert 0.5 <= amplitude(bent, 0.2 * RATE) < 0.7
        assert amplitude(bent, 0.4 * RATE) < 0.002
    mirrored = effects.overdrive(-tone, RATE, np.random.default_rng(4))[0, 500:-500]
    assert np.abs(mirrored + bent).max() < 1e-6


def test_chains_apply_by_chance() -> None:
    clip = impulse(0.5)
    assert effects.apply_chain(clip, RATE, CHAIN, 0.0, np.random.default_rng(0)) is clip
    always = effects.apply_chain(clip, RATE, CHAIN, 1.0, np.random.default_rng(0))
    assert np.array_equal(always, 6 * clip)


CHAIN = (
    (lambda clip, rate, rng: 2 * clip, 1.0),
    (lambda clip, rate, rng: 3 * clip, 1.2),
)


def test_a_second_voice_is_quieter_whatever_the_recordings(
    recordings: Path, recipe: Recipe
) -> None:
    """Of two recordings, one 20 dB louder, each is the second voice at times: 3 to 12 dB below."""
    time = np.arange(4 * RATE) / RATE
    for name, hz, level in (("low", 500, 0.5), ("high", 900, 0.05)):
        soundfile.write(recordings / f"{name}.wav", level * np.sin(2 * np.pi * hz * time), RATE)
    values = recipe.to_dict()["data"]["voices"] | {
        "vocals": [{"file": "low.wav"}, {"file": "high.wav"}],
        **{"second_voice": 1.0, "speed": 0.0, "effects": 0.0, "silent": 0.0},
    }
    mixes = voices(with_voices(recipe, values), recordings, 1)
    steps = []
    for index in range(20):
        voice = mixes[index][1][0].mean(0).numpy()
        low, high = (amplitude(voice, hz) for hz in (500, 900))
        if min(low, high) > 1e-3:
            steps.append(20 * np.log10(low / high))
    assert min(steps) < 0 < max(steps)
    assert all(1 < abs(step) < 14 for step in steps)  # panning moves what a mono sum hears


def test_what_is_nearly_silent_is_not_blown_up() -> None:
    loud, faint = np.full((1, 9), 0.5, np.float32), np.full((1, 9), 1e-5, np.float32)
    assert np.abs(to_level(loud, 0.1)).max() == pytest.approx(0.1)
    assert np.abs(to_level(faint, 0.1)).max() == pytest.approx(1e-4)


def test_mixes_depend_on_seed_and_number_alone(recordings: Path, recipe: Recipe) -> None:
    mixes, twin, other = (voices(recipe, recordings, seed) for seed in (1, 1, 2))
    mixture, stems = mixes[7]
    again, _ = twin[7]
    assert mixture.shape == (2, RATE // 2)
    assert stems.shape == (1, 2, RATE // 2)
    assert mixture.equal(again)
    assert not mixture.equal(other[7][0])
    assert not mixture.equal(mixes[8][0])


def test_silent_and_bare_shares(recordings: Path, recipe: Recipe) -> None:
    """Of 400 clips, 12 % without voice and 3 % without backing, within 4 standard deviations."""
    values = recipe.to_dict()["data"]["voices"] | {"silent": 0.12, "bare": 0.03, "effects": 0.0}
    mixes = voices(with_voices(recipe, values), recordings, 1)
    clips = [mixes[index] for index in range(400)]
    silent = sum(not stems.any() for _, stems in clips)
    bare = sum(bool((mixture - stems[0]).abs().max() < 1e-6) for mixture, stems in clips)
    assert 400 * 0.12 - 26 < silent < 400 * 0.12 + 26
    assert 0 < bare < 400 * 0.03 + 14
