"""Spectrograms of waves in memory, heat maps, and figures as pixels and SVG.

The style, the levels of a spectrogram and the panels are those of :mod:`stemcli.plots`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from model_zoo.ops.spectra import stft
from stemcli.plots import COLORMAP, DPI, FAINTEST_DB, draw_levels, styled
from stemcli.spectrogram import SILENCE, row_weights, window_length

COLUMNS = 512
TICKS_HZ = (100, 1000, 10_000)
PANEL_INCHES = (4.6, 2.6)


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
            _draw_panel(axes, level, top, (0.0, seconds), sample_rate)
            axes.set_title(name, fontsize=10)
        for axes in figure.axes[len(found) :]:
            axes.remove()
    return figure


def _draw_panel(
    axes: Axes,
    level: Float[np.ndarray, "row column"],
    top: float,
    seconds: tuple[float, float],
    sample_rate: int,
) -> None:
    """One panel, with ticks in Hz."""
    draw_levels(axes, level, top, seconds, sample_rate)
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


def to_svg(figure: Figure) -> str:
    """An SVG element, without what stands before it in a file."""
    with styled():
        held = io.StringIO()
        figure.savefig(held, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = held.getvalue()
    return text[text.index("<svg") :]


def levels(
    wave: Float[np.ndarray, "channel time"], sample_rate: int
) -> Float[np.ndarray, "row column"]:
    """Energy in dB, the lowest frequency in the last row; channels are averaged.

    Args:
        wave: finite samples.
        sample_rate: in Hz.
    """
    power = _power(torch.from_numpy(wave), sample_rate)
    rows = row_weights(sample_rate, 2 * (len(power) - 1)) @ power.double().numpy()
    picked = np.linspace(0, rows.shape[1] - 1, COLUMNS).round().astype(int)
    return 10 * np.log10(rows[::-1, picked] + SILENCE)


def _power(wave: Tensor, sample_rate: int) -> Float[Tensor, "freq frame"]:
    """Squared magnitudes of at most ``COLUMNS + 1`` frames; a full-scale sine gives 1/4."""
    n_fft = window_length(sample_rate)
    padded = torch.nn.functional.pad(wave, (0, max(0, n_fft - wave.shape[-1])))
    window = torch.hann_window(n_fft)
    spectrum = stft(padded, window, math.ceil(padded.shape[-1] / COLUMNS))
    return (spectrum.abs() / window.sum()).square().mean(0)
