"""Spectrograms measured block by block, checked by tones of known pitch, time and level."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemcli.spectrogram import COLUMNS, ROWS, Spectrogram, frequencies, row_weights, window_length
from tests.stemcli.spectra import RATE, measured, tone


def middle(level: np.ndarray) -> np.ndarray:
    return level[:, level.shape[1] // 2]


@pytest.mark.parametrize(
    ("rate", "hz"),
    [(8000, 100), (8000, 1000), (44_100, 60), (44_100, 1000), (44_100, 9000), (192_000, 50_000)],
)
def test_a_tone_is_brightest_at_the_row_of_its_pitch(rate: int, hz: int) -> None:
    level = middle(measured(tone(hz, rate=rate), rate).levels())
    pitches = frequencies(rate)[::-1]
    # No row is nearer than a row or a bin, whichever is wider.
    width = max(hz * (pitches[0] / pitches[1] - 1), rate / window_length(rate))
    assert pitches[level.argmax()] == pytest.approx(hz, abs=width)
    elsewhere = 3.7 * hz if 3.7 * hz < rate / 2 else 0.4 * hz
    other = int(np.abs(pitches - elsewhere).argmin())
    assert level.max() - level[other] > 60


@pytest.mark.parametrize("hz", [110, 440, 1760, 7040])
def test_a_tone_at_full_scale_has_0_to_2_db(hz: int) -> None:
    """A Hann window spreads a sine over three bins, whose powers sum to 1.5 times the largest."""
    level = middle(measured(tone(hz, rate=44_100), 44_100).levels())
    assert -1.5 < level.max() < 2


def test_half_the_amplitude_is_6_db_less() -> None:
    loud, soft = (measured(scale * tone(440)).levels() for scale in (1.0, 0.5))
    audible = loud > -80
    np.testing.assert_allclose((loud - soft)[audible], 20 * np.log10(2), atol=0.01)


def test_levels_are_those_of_the_transform_in_torch() -> None:
    """Reference: torch.stft, where the bin of a sine at full scale has a quarter of its power."""
    wave, size = tone(523, 3.0, 44_100), window_length(44_100)
    window = torch.hann_window(size)
    bins = torch.stft(torch.from_numpy(wave[:, 0]), size, window=window, return_complex=True)
    power = 4 * (bins.abs() / window.sum()).square().double().numpy()
    expected = middle(10 * np.log10(row_weights(44_100, size) @ power + 1e-20)[::-1])
    found = middle(measured(wave, 44_100).levels())
    audible = expected > -60
    assert audible.sum() > 3
    np.testing.assert_allclose(found[audible], expected[audible], atol=0.05)


@pytest.mark.parametrize("channels", [2, 8])
def test_powers_of_channels_are_averaged(channels: int) -> None:
    signs = np.where(np.arange(channels) % 2, -1, 1).astype(np.float32)
    several = measured(tone(1000, channels=channels) * signs).levels()
    np.testing.assert_allclose(several, measured(tone(1000)).levels(), atol=0.01)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 20_000), st.lists(st.integers(0, 3000), max_size=8), st.integers(0, 99))
def test_the_size_of_the_blocks_does_not_matter(frames: int, sizes: list[int], seed: int) -> None:
    wave = np.random.default_rng(seed).uniform(-1, 1, (frames, 2)).astype(np.float32)
    spectrogram = Spectrogram(RATE, 2)
    for part in np.split(wave, np.cumsum(sizes).clip(0, frames)):
        spectrogram.push(part)
    spectrogram.finish()
    np.testing.assert_allclose(spectrogram.levels(), measured(wave).levels(), atol=1e-3)


@pytest.mark.parametrize("seconds", [1, 30, 250, 700])
def test_columns_cover_the_wave_and_are_bounded(seconds: int) -> None:
    found = measured(np.zeros((seconds * RATE, 1), np.float32))
    columns = found.levels().shape[1]
    assert columns <= COLUMNS
    end = found.first_seconds + columns * found.column_seconds
    assert seconds <= end <= seconds + 2 * found.column_seconds
    if seconds > 100:  # as many columns as there were at the last merge
        assert columns > COLUMNS // 2


@pytest.mark.parametrize("seconds", [2, 300])
def test_a_sound_is_in_the_column_of_its_time(seconds: int) -> None:
    """A burst of 0.05 s after two thirds, in a short wave and in one whose columns were merged."""
    wave = np.zeros((seconds * RATE, 1), np.float32)
    begin = 2 * len(wave) // 3
    wave[begin : begin + 400] = tone(1000, 0.05)
    found = measured(wave)
    column = int(found.levels().max(axis=0).argmax())
    time = found.first_seconds + (column + 0.5) * found.column_seconds
    assert time == pytest.approx(begin / RATE + 0.025, abs=found.column_seconds)


def test_a_merged_column_has_the_mean_power() -> None:
    """A tone that sounds half of the time is 3 dB softer where columns are long."""
    beats = np.arange(600 * RATE) // (RATE // 20) % 2
    found = measured(tone(1000, 600.0) * beats[:, None].astype(np.float32))
    assert found.column_seconds > 0.5
    # Beats spread a tone over many rows, so the sum over the rows is compared.
    halved, steady = (10 ** (one.levels() / 10) for one in (found, measured(tone(1000))))
    ratio = np.median(halved.sum(axis=0)) / middle(steady).sum()
    assert ratio == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("frames", [0, 1, 10, 700])
@pytest.mark.parametrize("rate", [1, 100, 8000, 192_000])
def test_short_waves_have_a_column(frames: int, rate: int) -> None:
    found = measured(np.full((frames, 1), 0.5, np.float32), rate)
    level = found.levels()
    assert level.shape[0] == ROWS
    assert level.shape[1] >= 1
    assert np.isfinite(level).all()
    assert found.first_seconds + level.shape[1] * found.column_seconds >= frames / rate


def test_silence_has_a_finite_level() -> None:
    assert np.all(measured(np.zeros((RATE, 1), np.float32)).levels() == -200)


def test_memory_does_not_grow_with_the_length() -> None:
    """A wave of 25 minutes needs no more than one of 2 minutes, which fills all columns."""

    def peak(seconds: int) -> int:
        block = np.zeros((RATE, 2), np.float32)
        tracemalloc.start()
        spectrogram = Spectrogram(RATE, 2)
        for _ in range(seconds):
            spectrogram.push(block)
        spectrogram.finish()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # allocates the weights of the rows, which are kept
    short, long = peak(120), peak(1500)
    assert long < 1.02 * short
    assert long < 12e6
