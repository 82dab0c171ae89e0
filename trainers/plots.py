"""Figures drawn by matplotlib: spectrograms, heat maps, and the style that all figures share.

Figures are made and saved without pyplot, whose state is global, and inside :func:`styled`, which
one thread at a time can enter: matplotlib keeps its settings in one dictionary.

In a spectrogram the frequency axis is logarithmic, as pitch is heard. A row shows the energy that
falls into it, so that a tone is as bright in one octave as in another. Brightness is the level in
dB, over :data:`RANGE_DB` below the loudest point.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from model_zoo.ops.spectra import stft

STYLE = Path(__file__).with_name("charts.mplstyle")
COLORMAP = "inferno"
"""From nearly black to light yellow; its lightness rises evenly, so it can be read in grey too."""

DPI = 100

LOWEST_HZ = 30.0
RANGE_DB = 80.0
FAINTEST_DB = -120.0
"""Sound below this level is dark, even if nothing is louder."""

ROWS, COLUMNS = 256, 512
WINDOW_SECONDS = 0.09
TICKS_HZ = (100, 1000, 10_000)
PANEL_INCHES = (4.6, 2.6)

_lock = threading.RLock()


@contextmanager
def styled() -> Iterator[None]:
    """Inside this block figures have our style; other threads wait.

    Names of songs and models may have letters that no font here has: a browser may have it, so
    matplotlib's warnings about them are dropped.
    """
    with _lock, mpl.rc_context(fname=STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def spectrograms(
    waves: Mapping[str, Float[np.ndarray, "channel time"]], sample_rate: int, columns: int = 2
) -> Figure:
    """Spectrograms of several waves, each with its name as title.

    All have the same scale, whose top is the loudest point of all.

    Args:
        waves: finite samples, by title.
        sample_rate: in Hz.
        columns: panels in a row, if there are so many.
    """
    found = {name: levels(wave, sample_rate) for name, wave in waves.items()}
    top = max(FAINTEST_DB, *(level.max() for level in found.values()))
    columns = min(columns, len(found))
    rows = math.ceil(len(found) / columns)
    width, height = PANEL_INCHES
    with styled():
        figure = Figure((columns * width, rows * height), DPI, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
        for axes, (name, level) in zip(grid, found.items(), strict=False):
            seconds = waves[name].shape[-1] / sample_rate
            _draw_levels(axes, level, top, (0.0, seconds), sample_rate)
            axes.set_title(name, fontsize=10)
        for axes in figure.axes[len(found) :]:
            axes.remove()
    return figure


def _draw_levels(
    axes: Axes,
    level: Float[np.ndarray, "row column"],
    top: float,
    seconds: tuple[float, float],
    sample_rate: int,
) -> None:
    """One panel; its vertical axis is the logarithm of the frequency, with ticks in Hz."""
    low, high = np.log10(frequencies(sample_rate)[[0, -1]])
    axes.imshow(
        level,
        cmap=COLORMAP,
        vmin=top - RANGE_DB,
        vmax=top,
        aspect="auto",
        extent=(*seconds, low, high),
    )
    ticks = [hz for hz in TICKS_HZ if hz < sample_rate / 2]
    axes.set_yticks(np.log10(ticks), [f"{hz:,} Hz" for hz in ticks])
    axes.set_xlabel("seconds", fontsize=8)
    axes.tick_params(labelsize=8)


def heat_map(
    values: Float[np.ndarray, "row column"], x: str, y: str, ticks: Mapping[float, str]
) -> Figure:
    """Numbers from 0 to 1 as colors, row 0 above.

    Args:
        values: numbers outside of 0 to 1 look like the nearest of the two, NaN is blank.
        x: label of the columns.
        y: label of the rows.
        ticks: numbers that the color bar explains, and how.
    """
    with styled():
        figure = Figure((5.2, 4.4), DPI, layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(
            values, cmap=COLORMAP, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        bar = figure.colorbar(image)
        bar.set_ticks([*ticks], labels=[*ticks.values()])
    return figure


def to_pixels(figure: Figure) -> UInt8[np.ndarray, "height width 3"]:
    """Red, green and blue of a figure."""
    with styled():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def to_png(figure: Figure) -> bytes:
    """A PNG file."""
    with styled():
        held = io.BytesIO()
        FigureCanvasAgg(figure).print_png(held)
    return held.getvalue()


def to_svg(figure: Figure) -> str:
    """An SVG element, without what stands before it in a file."""
    with styled():
        held = io.StringIO()
        figure.savefig(held, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = held.getvalue()
    return text[text.index("<svg") :]


def frequencies(sample_rate: int) -> Float[np.ndarray, " row"]:
    """Frequency of every row in Hz, from the lowest to half of ``sample_rate``."""
    return np.geomspace(LOWEST_HZ, sample_rate / 2, ROWS)


def levels(
    wave: Float[np.ndarray, "channel time"], sample_rate: int
) -> Float[np.ndarray, "row column"]:
    """Energy in dB, the lowest frequency in the last row; channels are averaged.

    Args:
        wave: finite samples.
        sample_rate: in Hz.
    """
    power = _power(torch.from_numpy(wave), sample_rate)
    rows = _row_weights(sample_rate, 2 * (len(power) - 1)) @ power.double().numpy()
    picked = np.linspace(0, rows.shape[1] - 1, COLUMNS).round().astype(int)
    return 10 * np.log10(rows[::-1, picked] + 1e-20)


def _power(wave: Tensor, sample_rate: int) -> Float[Tensor, "freq frame"]:
    """Squared magnitudes of at most ``COLUMNS + 1`` frames; a full-scale sine gives 1/4."""
    n_fft = 2 ** max(4, round(math.log2(WINDOW_SECONDS * sample_rate)))
    padded = torch.nn.functional.pad(wave, (0, max(0, n_fft - wave.shape[-1])))
    window = torch.hann_window(n_fft)
    spectrum = stft(padded, window, math.ceil(padded.shape[-1] / COLUMNS))
    return (spectrum.abs() / window.sum()).square().mean(0)


def _row_weights(sample_rate: int, n_fft: int) -> Float[np.ndarray, "row freq"]:
    """How much every bin adds to every row: triangles around the frequencies of the rows.

    A triangle reaches to the neighbouring rows, and at least to the neighbouring bins: where rows
    are closer together than bins, they are interpolated.
    """
    centres = frequencies(sample_rate)[:, None]
    bin_width = sample_rate / n_fft
    bins = np.arange(n_fft // 2 + 1) * bin_width
    ratio = centres[1, 0] / centres[0, 0]
    below = np.maximum(centres - centres / ratio, bin_width)
    above = np.maximum(centres * ratio - centres, bin_width)
    reach = np.where(bins < centres, below, above)
    return (1 - np.abs(bins - centres) / reach).clip(0)
