"""Spectrograms and heat maps, checked by pixels for tones of known pitch and level."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib import colormaps, rcParams
from matplotlib.figure import Figure
from PIL import Image

from stemcli.plots import COLORMAP, TICKS_HZ, to_png
from stemcli.spectrogram import ROWS, frequencies
from trainers.plots import (
    PANEL_INCHES,
    heat_map,
    spectrograms,
    to_pixels,
)

RATE = 44_100
SILENCE = np.zeros((2, RATE), np.float32)


def tone(hz: float, amplitude: float = 1.0) -> np.ndarray:
    """A sine of one second in both channels."""
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
    return np.stack([wave, wave]).astype(np.float32)


def levels(wave: np.ndarray, rate: int = RATE) -> np.ndarray:
    """The numbers of a panel."""
    (axes,) = spectrograms({"": wave}, rate).axes
    return np.asarray(axes.images[0].get_array())


def middle(level: np.ndarray) -> np.ndarray:
    return level[:, level.shape[1] // 2]


def row_of(hz: float) -> int:
    return int(np.abs(frequencies(RATE)[::-1] - hz).argmin())


@pytest.mark.parametrize("hz", [60, 440, 1000, 9000])
def test_a_tone_is_brightest_at_the_row_of_its_pitch(hz: int) -> None:
    found = middle(levels(tone(hz)))
    assert found.shape == (ROWS,)
    # Rows are a 26th of the frequency apart; below 300 Hz the bins of 10.8 Hz are coarser.
    pitch = frequencies(RATE)[::-1][found.argmax()]
    assert pitch == pytest.approx(hz, abs=max(hz / 26, 10.8))
    assert found.max() - found[row_of(3.7 * hz)] > 60


def test_a_tone_is_as_bright_in_every_octave() -> None:
    peaks = [middle(levels(tone(hz))).max() for hz in (100, 400, 1600, 6400)]
    assert max(peaks) - min(peaks) < 3


def test_low_frequencies_are_below_and_early_times_left() -> None:
    wave = tone(100) * (np.arange(RATE) < RATE / 2)
    found = levels(wave)
    loudest = np.unravel_index(found.argmax(), found.shape)
    assert loudest[0] > ROWS / 2
    assert loudest[1] <= found.shape[1] / 2


def test_channels_in_opposite_phase_do_not_cancel() -> None:
    wave = tone(1000)
    opposite = np.stack([wave[0], -wave[1]])
    assert np.allclose(levels(opposite), levels(wave), atol=0.01)


def color_at(figure: Figure, panel: int, seconds: float, hz: float) -> np.ndarray:
    """The lightest color around a point of a panel, in the rendered image."""
    pixels = to_pixels(figure)
    place = figure.axes[panel].transData.transform((seconds, np.log10(hz)))
    x, y = round(place[0]), len(pixels) - round(place[1])
    return max(pixels[y - 3 : y + 3, x], key=np.sum)


def color(share: float) -> np.ndarray:
    return 255 * np.array(colormaps[COLORMAP](share)[:3])


def test_panels_share_one_scale() -> None:
    waves = {"loud": tone(1000), "40 dB below": tone(1000, 0.01), "silence": SILENCE}
    figure = spectrograms(waves, RATE)
    assert [axes.get_title("left") for axes in figure.axes] == [*waves]
    assert len({axes.images[0].get_clim() for axes in figure.axes}) == 1
    low, high = figure.axes[0].images[0].get_clim()
    assert (high, high - low) == (levels(waves["loud"]).max(), 80)
    # 40 dB below the top of a range of 80 is its middle; a tone is a few rows high.
    for panel, share in enumerate((1.0, 0.5, 0.0)):
        assert color_at(figure, panel, 0.5, 1000) == pytest.approx(color(share), abs=12)
        assert color_at(figure, panel, 0.5, 12_000) == pytest.approx(color(0.0), abs=1)


def test_a_tone_is_drawn_at_its_pitch() -> None:
    """The axis is logarithmic: octaves are equally far apart, and low frequencies are below."""
    figure = spectrograms({"": tone(250) + tone(4000)}, RATE)
    for hz in (250, 4000):
        assert color_at(figure, 0, 0.5, hz).sum() > 2 * color_at(figure, 0, 0.5, 2 * hz).sum()
    (axes,) = figure.axes
    to_pixels(figure)
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["100 Hz", "1 kHz", "10 kHz"]
    _, y = axes.transData.transform([(0, np.log10(hz)) for hz in TICKS_HZ]).T
    assert y[1] - y[0] == pytest.approx(y[2] - y[1])
    assert y[1] > y[0]


def test_silence_alone_is_dark() -> None:
    figure = spectrograms({"": SILENCE}, RATE)
    for hz in (40, 1000, 20_000):
        assert color_at(figure, 0, 0.5, hz) == pytest.approx(color(0.0), abs=1)


@pytest.mark.parametrize("length", [1, 10, 3000])
def test_short_waves_fill_the_panel(length: int) -> None:
    (axes,) = spectrograms({"x": SILENCE[:, :length]}, 8000).axes
    assert axes.get_xlim() == pytest.approx((0, length / 8000))
    left, right, *_ = axes.images[0].get_extent()
    assert left <= 0
    assert right >= length / 8000


@pytest.mark.parametrize(
    ("panels", "columns", "shape"), [(1, 2, (1, 1)), (3, 2, (2, 2)), (3, 3, (1, 3))]
)
def test_panels_are_arranged_in_rows(panels: int, columns: int, shape: tuple[int, int]) -> None:
    figure = spectrograms({str(number): SILENCE for number in range(panels)}, 8000, columns)
    assert len(figure.axes) == panels
    assert tuple(figure.get_size_inches()) == pytest.approx(
        (shape[1] * PANEL_INCHES[0], shape[0] * PANEL_INCHES[1])
    )


def test_a_png_has_the_same_pixels() -> None:
    figure = spectrograms({"x": tone(440)}, RATE)
    with Image.open(io.BytesIO(to_png(figure))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), to_pixels(figure))


def test_a_heat_map_has_a_square_for_every_number() -> None:
    """Row 0 is at the top; 0 and less are dark, 1 and more are light."""
    figure = heat_map(np.array([[0.0, 1.0, -3.0], [1.0, 0.5, 7.0]]), "key", "query", {0.5: "even"})
    pixels = to_pixels(figure)
    axes, bar = figure.axes
    expected = [[0.0, 1.0, 0.0], [1.0, 0.5, 1.0]]
    for row, column in np.ndindex(2, 3):
        for edge in (-0.4, 0.4):
            x, y = axes.transData.transform((column + edge, row + edge))
            found = pixels[len(pixels) - round(y), round(x)]
            assert found == pytest.approx(color(expected[row][column]), abs=1)
    assert [text.get_text() for text in bar.get_yticklabels()] == ["even"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("key", "query")


def test_threads_can_draw_concurrently() -> None:
    """matplotlib's settings are global to all threads, and are restored at the end."""
    waves = {"a": tone(440), "b": tone(880)}
    before = {**rcParams}
    expected = to_png(spectrograms(waves, RATE))
    with ThreadPoolExecutor(4) as pool:
        drawn = [pool.submit(lambda: to_png(spectrograms(waves, RATE))) for _ in range(8)]
        assert all(future.result() == expected for future in drawn)
    assert {**rcParams} == before
