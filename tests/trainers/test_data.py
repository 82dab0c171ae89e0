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
from trainers.config import Recipe
from trainers.data import augmentation
from trainers.data.mixing import RandomMixes
from trainers.data.pool import open_recording


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


def test_missing_recording_is_named(recordings: Path) -> None:
    with pytest.raises(DecodeError, match=r"none\.wav: No such file"):
        open_recording(recordings / "none.wav", RATE)
    (recordings / "text.wav").write_text("not audio")
    with pytest.raises(DecodeError, match=r"Cannot decode .*text\.wav"):
        open_recording(recordings / "text.wav", RATE)


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.85, 1.15))
def test_speed_moves_pitch_by_the_same_factor(factor: float) -> None:
    time = np.arange(3 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time)[None].astype(np.float32)
    played = augmentation.change_speed(tone, 2 * RATE, factor)
    assert played.shape == (1, 2 * RATE)
    spectrum = np.abs(np.fft.rfft(played[0] * np.hanning(2 * RATE)))
    assert spectrum.argmax() / 2 == pytest.approx(440 * factor, abs=1)


@pytest.mark.parametrize("effect", [effect for effect, _ in augmentation.VOICE_EFFECTS])
def test_effects_keep_the_length_and_stay_finite(effect: augmentation.Effect) -> None:
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
    for effect in (augmentation.equaliser, augmentation.room, augmentation.echo):
        both = effect(first + second, RATE, np.random.default_rng(2))
        apart = sum(effect(clip, RATE, np.random.default_rng(2)) for clip in (first, second))
        assert np.abs(both - apart).max() < 1e-4


def test_compressor_evens_out_loudness() -> None:
    clip = np.ones((1, RATE), np.float32)
    clip[:, RATE // 2 :] = 0.1
    squeezed = augmentation.compress(clip, RATE, np.random.default_rng(0))
    before, after = (np.abs(wave[0, 100]) / np.abs(wave[0, -100]) for wave in (clip, squeezed))
    assert after < before


def test_mixes_depend_on_seed_and_number_alone(recordings: Path, recipe: Recipe) -> None:
    mixes, twin, other = (RandomMixes(recipe.data, recordings, RATE, seed) for seed in (1, 1, 2))
    mixture, stems = mixes[7]
    again, _ = twin[7]
    assert mixture.shape == (2, RATE // 2)
    assert stems.shape == (1, 2, RATE // 2)
    assert mixture.equal(again)
    assert not mixture.equal(other[7][0])
    assert not mixture.equal(mixes[8][0])


def test_silent_and_bare_shares(recordings: Path, recipe: Recipe) -> None:
    """Of 400 clips, 12 % without voice and 3 % without backing, within 4 standard deviations."""
    values = recipe.to_dict()["data"] | {"silent": 0.12, "bare": 0.03, "effects": 0.0}
    mixes = RandomMixes(type(recipe.data).from_dict(values), recordings, RATE, 1)
    clips = [mixes[index] for index in range(400)]
    silent = sum(not stems.any() for _, stems in clips)
    bare = sum(bool((mixture - stems[0]).abs().max() < 1e-6) for mixture, stems in clips)
    assert 400 * 0.12 - 26 < silent < 400 * 0.12 + 26
    assert 0 < bare < 400 * 0.03 + 14
