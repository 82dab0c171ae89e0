from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stemcli.audio.resample import Resampler
from tests.audio_files import tones

RATES = st.sampled_from([8000, 10512, 24000, 32768, 44100, 48000, 96000])
Wave = NDArray[np.float32]


def resampled(wave: Wave, source: int, target: int, cuts: list[int], total: int | None) -> Wave:
    """Push ``wave`` in blocks that are cut at ``cuts``."""
    resampler = Resampler(source, target, wave.shape[1])
    blocks = [resampler.push(part) for part in np.split(wave, sorted(cuts))]
    return np.concatenate([*blocks, resampler.finish(total)])


@settings(max_examples=40, deadline=None)
@given(RATES, RATES, st.lists(st.integers(0, 4000), max_size=6))
def test_the_block_size_changes_nothing(source: int, target: int, cuts: list[int]) -> None:
    """Property: any blocks, empty ones too, give the same samples as one block."""
    wave = tones(4000, source)
    in_blocks = resampled(wave, source, target, cuts, None)
    assert np.array_equal(in_blocks, resampled(wave, source, target, [], None))


@settings(max_examples=40, deadline=None)
@given(RATES, RATES, st.integers(1, 5000))
def test_resampling_there_and_back_keeps_the_length(source: int, target: int, frames: int) -> None:
    """Property: the length is the requested total, or by default that at the new rate."""
    wave = tones(frames, source)
    converted = resampled(wave, source, target, [frames // 3], None)
    assert abs(len(converted) - frames * target / source) <= 1
    assert len(resampled(converted, target, source, [], frames)) == frames


@settings(max_examples=20, deadline=None)
@given(RATES, RATES, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_resampling_is_linear(source: int, target: int, a: float, b: float) -> None:
    """Property: R(ax + by) = aR(x) + bR(y), up to float32 rounding."""
    x, y = tones(3000, source), tones(3000, source)[::-1]
    mixed = np.float32(a) * x + np.float32(b) * y
    expected = np.float32(a) * resampled(x, source, target, [], None)
    expected += np.float32(b) * resampled(y, source, target, [], None)
    assert np.abs(resampled(mixed, source, target, [], None) - expected).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(RATES, RATES, st.floats(0.02, 0.08))
def test_an_impulse_is_not_delayed(source: int, target: int, second: float) -> None:
    """Property: the energy centroid of an impulse keeps its time."""
    wave = np.zeros((source // 10, 1), np.float32)
    position = round(second * source)
    wave[position] = 1.0
    energy = resampled(wave, source, target, [], None)[:, 0].astype(np.float64) ** 2
    centroid = float(np.sum(np.arange(len(energy)) * energy) / np.sum(energy))
    assert abs(centroid / target - position / source) < 0.05 / target


@pytest.mark.parametrize(("source", "target"), [(44100, 48000), (10512, 44100), (96000, 44100)])
def test_a_tone_stays_in_phase(source: int, target: int) -> None:
    """By hand: sample n of a tone at the new rate is sin(2 pi f n / rate), to 16 bits."""
    frames = source // 4
    tone = np.sin(2 * np.pi * 500 * np.arange(frames) / source)[:, None].astype(np.float32)
    output = resampled(tone, source, target, [100], None)[:, 0]
    expected = np.sin(2 * np.pi * 500 * np.arange(len(output)) / target)
    middle = slice(len(output) // 4, -len(output) // 4)
    assert np.abs(output - expected)[middle].max() < 2**-15


def test_equal_rates_change_nothing() -> None:
    wave = tones(1000)
    assert np.array_equal(resampled(wave, 44100, 44100, [10, 10, 999], 1000), wave)


@pytest.mark.parametrize("frames", [0, 1])
def test_very_short_waves(frames: int) -> None:
    """Nothing stays nothing, and one sample never becomes nothing."""
    wave = tones(frames, 96000)
    assert resampled(wave, 96000, 8000, [], None).shape == (frames, 2)
