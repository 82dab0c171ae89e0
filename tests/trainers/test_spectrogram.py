"""Pictures of sound. Truth: tones whose pitch and level are known, CIE lightness, decibels."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.loop.colours import LEVELS, colour_table, coloured
from trainers.loop.spectrogram import (
    COLUMNS,
    GAP,
    ROWS,
    frequencies,
    levels,
    spectrogram_picture,
)

RATE = 44_100
SILENCE = np.zeros((2, RATE), np.float32)


def tone(hz: float, amplitude: float = 1.0) -> np.ndarray:
    """A second of a sine, in both channels."""
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
    return np.stack([wave, wave]).astype(np.float32)


def row_of(hz: float) -> int:
    return int(np.abs(frequencies(RATE)[::-1] - hz).argmin())


def lightness(colours: np.ndarray) -> np.ndarray:
    """L* of CIE 1976 (0 black, 100 white) of sRGB colours."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    root = np.where(
        luminance > 216 / 24389, np.cbrt(luminance), (luminance * 24389 / 27 + 16) / 116
    )
    return 116 * root - 16


def test_colours_become_lighter_without_a_jump() -> None:
    steps = np.diff(lightness(colour_table()))
    # 8 bits a colour make steps of one third of a unit uneven, but never backward or double.
    assert steps.min() > 0
    assert steps.max() < 1
    assert lightness(colour_table()[[0, -1]]) == pytest.approx([2, 94], abs=2)


def test_numbers_beyond_the_range_have_its_colours() -> None:
    values = np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, np.nan, np.inf, -np.inf]])
    expected = colour_table()[[0, 0, 128, LEVELS - 1, LEVELS - 1, 0, LEVELS - 1, 0]]
    assert np.array_equal(coloured(values)[0], expected)


@pytest.mark.parametrize("hz", [60, 440, 1000, 9000])
def test_a_tone_lights_the_row_of_its_pitch(hz: int) -> None:
    found = levels(tone(hz), RATE)
    assert found.shape == (ROWS, COLUMNS)
    # Rows are a 26th of the frequency apart; below 300 Hz the bins of 10.8 Hz are the coarser.
    pitch = frequencies(RATE)[::-1][found[:, COLUMNS // 2].argmax()]
    assert pitch == pytest.approx(hz, abs=max(hz / 26, 10.8))
    assert found[:, COLUMNS // 2].max() - found[row_of(3.7 * hz), COLUMNS // 2] > 60


def test_a_tone_is_as_bright_in_every_octave() -> None:
    heights = [levels(tone(hz), RATE)[:, COLUMNS // 2].max() for hz in (100, 400, 1600, 6400)]
    assert max(heights) - min(heights) < 3


def test_low_is_below_and_early_is_left() -> None:
    wave = tone(100) * (np.arange(RATE) < RATE / 2)
    loudest = np.unravel_index(levels(wave, RATE).argmax(), (ROWS, COLUMNS))
    assert loudest[0] > ROWS / 2
    assert loudest[1] <= COLUMNS / 2


def test_channels_in_opposite_phase_do_not_vanish() -> None:
    wave = tone(1000)
    opposite = np.stack([wave[0], -wave[1]])
    assert np.allclose(levels(opposite, RATE), levels(wave, RATE), atol=0.01)


def test_panels_share_one_scale() -> None:
    picture = spectrogram_picture(
        {"loud": tone(1000), "40 dB below": tone(1000, 0.01), "silence": SILENCE}, RATE
    )
    assert picture.shape == (2 * ROWS + GAP, 2 * COLUMNS + GAP, 3)
    row = int(levels(tone(1000), RATE)[:, COLUMNS // 2].argmax())
    left, right = COLUMNS // 2, COLUMNS // 2 + COLUMNS + GAP
    # 40 dB below the top of a range of 80 is its middle; the top differs by column a little.
    middle = colour_table()[LEVELS // 2].astype(int)
    assert np.abs(picture[row, left] - colour_table()[-1].astype(int)).max() <= 3
    assert np.abs(picture[row, right] - middle).max() <= 3
    assert np.array_equal(picture[row + ROWS + GAP, left], colour_table()[0])


def test_silence_alone_is_dark() -> None:
    picture = spectrogram_picture({"": SILENCE}, RATE)
    assert picture.shape == (ROWS, COLUMNS, 3)
    assert np.array_equal(picture[ROWS // 2, COLUMNS // 2], colour_table()[0])


@pytest.mark.parametrize("length", [1, 10, 3000])
def test_short_sound_fills_the_picture(length: int) -> None:
    assert spectrogram_picture({"x": SILENCE[:, :length]}, 8000).shape == (ROWS, COLUMNS, 3)
