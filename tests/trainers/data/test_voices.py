"""Mixes of voices and backings, against properties of each operation and numbers by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.trainers.commands import RATE
from tests.trainers.data.amplitude import amplitude
from tests.trainers.runs import voices, with_voices
from trainers.config import Recipe
from trainers.data.clips import ClipPlan
from trainers.data.voices import VoiceMixes, to_level


def test_a_second_voice_is_quieter_whatever_the_recordings(
    recordings: Path, recipe: Recipe
) -> None:
    """Of two recordings, one 20 dB louder, either can be the second voice, 3 to 12 dB quieter."""
    time = np.arange(4 * RATE) / RATE
    for name, hz, level in (("low", 500, 0.5), ("high", 900, 0.05)):
        soundfile.write(recordings / f"{name}.wav", level * np.sin(2 * np.pi * hz * time), RATE)
    values = recipe.to_dict()["data"]["voices"] | {
        "vocals": [{"file": "low.wav"}, {"file": "high.wav"}],
        **{"second_voice": 1.0, "speed": 0.0, "effects": 0.0, "silent": 0.0},
    }
    mixes = voices(with_voices(recipe, values), recordings, 1)
    differences = []
    for index in range(20):
        voice = mixes[index][1][0].mean(0).numpy()
        low, high = (amplitude(voice, hz) for hz in (500, 900))
        if min(low, high) > 1e-3:
            differences.append(20 * np.log10(low / high))
    assert min(differences) < 0 < max(differences)
    assert all(
        1 < abs(difference) < 14 for difference in differences
    )  # panning changes the level of the mono sum


def test_nearly_silent_clips_are_not_amplified() -> None:
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


def test_shares_of_silent_and_bare_clips(recordings: Path, recipe: Recipe) -> None:
    """12 % of 400 clips lack a voice and 3 % a backing, within 4 standard deviations."""
    values = recipe.to_dict()["data"]["voices"] | {"silent": 0.12, "bare": 0.03, "effects": 0.0}
    mixes = voices(with_voices(recipe, values), recordings, 1)
    clips = [mixes[index] for index in range(400)]
    silent = sum(not stems.any() for _, stems in clips)
    bare = sum(bool((mixture - stems[0]).abs().max() < 1e-6) for mixture, stems in clips)
    assert 400 * 0.12 - 26 < silent < 400 * 0.12 + 26
    assert 0 < bare < 400 * 0.03 + 14


def test_mixes_for_peak_levelled_networks_have_a_peak_of_1(
    recordings: Path, recipe: Recipe
) -> None:
    """Reference: the clips of other networks, with mixture and voice divided by the peak."""
    plan = ClipPlan.of(recipe, RATE)
    mixes = VoiceMixes(recipe.data.voices, recordings, plan, RATE, 1, needs_peak_level=True)
    plain = VoiceMixes(recipe.data.voices, recordings, plan, RATE, 1)
    for index in range(5):
        for one, other in zip(plain[index], mixes[index], strict=True):
            torch.testing.assert_close(other, one / plain[index][0].abs().max())
        assert mixes[index][0].abs().max() == 1
