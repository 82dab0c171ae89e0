"""Spectrograms of waves in memory, heat maps, and figures as pixels and SVG.

Spectrograms are measured by :mod:`stemcli.spectrogram`, and drawn as in :mod:`stemcli.plots`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stemcli.plots import COLORMAP, DPI, FAINTEST_DB, draw_levels, label_frequencies, styled
from stemcli.spectrogram import Spectrogram

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
    found = {name: _measured(wave, sample_rate) for name, wave in waves.items()}
    top = max(FAINTEST_DB, *(spectrogram.levels().max() for spectrogram in found.values()))
    columns = min(columns, len(found))
    rows = math.ceil(len(found) / columns)
    width, height = PANEL_INCHES
    with styled():
        figure = Figure((columns * width, rows * height), DPI, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
        for axes, (name, spectrogram) in zip(grid, found.items(), strict=False):
            _draw_panel(axes, spectrogram, top, sample_rate)
            axes.set_xlim(0, waves[name].shape[-1] / sample_rate)
            axes.set_title(name, fontsize=10)
        for axes in figure.axes[len(found) :]:
            axes.remove()
    return figure


def _measured(wave: Float[np.ndarray, "channel time"], sample_rate: int) -> Spectrogram:
    spectrogram = Spectrogram(sample_rate, len(wave))
    spectrogram.push(wave.T)
    spectrogram.finish()
    return spectrogram


def _draw_panel(axes: Axes, spectrogram: Spectrogram, top: float, sample_rate: int) -> None:
    """One panel, with labels of the frequencies."""
    draw_levels(axes, spectrogram.levels(), top, spectrogram.span_seconds, sample_rate)
    label_frequencies(axes, sample_rate)
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
