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
    """Push ``wave`` in the blocks that ``cuts`` makes."""
    resampler = Resampler(source, target, wave.shape[1])
    blocks = [resampler.push(part) for part in np.split(wave, sorted(cuts))]
    return np.concatenate([*blocks, resampler.finish(total)])


@settings(max_examples=40, deadline=None)
@given(RATES, RATES, st.lists(st.integers(0, 4000), max_size=6))
def test_the_cut_into_blocks_changes_nothing(source: int, target: int, cuts: list[int]) -> None:
    """Property: a stream in any blocks, empty ones too, gives the samples of the stream at once."""
    wave = tones(4000, source)
    in_blocks = resampled(wave, source, target, cuts, None)
    assert np.array_equal(in_blocks, resampled(wave, source, target, [], None))


@settings(max_examples=40, deadline=None)
@given(RATES, RATES, st.integers(1, 5000))
def test_there_and_back_has_the_length_of_the_beginning(
    source: int, target: int, frames: int
) -> None:
    """Property: the total is what was asked for; without a wish it is the length at the new rate."""
    wave = tones(frames, source)
    there = resampled(wave, source, target, [frames // 3], None)
    assert abs(len(there) - frames * target / source) <= 1
    assert len(resampled(there, target, source, [], frames)) == frames


@settings(max_examples=20, deadline=None)
@given(RATES, RATES, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_it_is_linear(source: int, target: int, a: float, b: float) -> None:
    """Property: R(ax + by) = aR(x) + bR(y), to the precision of float32."""
    x, y = tones(3000, source), tones(3000, source)[::-1]
    mixed = np.float32(a) * x + np.float32(b) * y
    apart = np.float32(a) * resampled(x, source, target, [], None)
    apart += np.float32(b) * resampled(y, source, target, [], None)
    assert np.abs(resampled(mixed, source, target, [], None) - apart).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(RATES, RATES, st.floats(0.02, 0.08))
def test_a_click_stays_where_it_is(source: int, target: int, second: float) -> None:
    """Property: no delay. The centre of an impulse, by centroid of energy, keeps its time."""
    wave = np.zeros((source // 10, 1), np.float32)
    place = round(second * source)
    wave[place] = 1.0
    heard = resampled(wave, source, target, [], None)[:, 0].astype(np.float64) ** 2
    centre = float(np.sum(np.arange(len(heard)) * heard) / np.sum(heard))
    assert abs(centre / target - place / source) < 0.05 / target


@pytest.mark.parametrize(("source", "target"), [(44100, 48000), (10512, 44100), (96000, 44100)])
def test_a_tone_stays_in_phase(source: int, target: int) -> None:
    """Worked by hand: sample n of a tone at the new rate is sin(2 pi f n / rate), to 16 bits."""
    frames = source // 4
    tone = np.sin(2 * np.pi * 500 * np.arange(frames) / source)[:, None].astype(np.float32)
    heard = resampled(tone, source, target, [100], None)[:, 0]
    expected = np.sin(2 * np.pi * 500 * np.arange(len(heard)) / target)
    middle = slice(len(heard) // 4, -len(heard) // 4)
    assert np.abs(heard - expected)[middle].max() < 2**-15


def test_equal_rates_pass_through_untouched() -> None:
    wave = tones(1000)
    assert np.array_equal(resampled(wave, 44100, 44100, [10, 10, 999], 1000), wave)


@pytest.mark.parametrize("frames", [0, 1])
def test_hardly_any_sound(frames: int) -> None:
    """Nothing stays nothing, one sample never becomes nothing."""
    wave = tones(frames, 96000)
    assert resampled(wave, 96000, 8000, [], None).shape == (frames, 2)
