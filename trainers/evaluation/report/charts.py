"""Pictures of scores and of sound, as text and bytes that a page can hold."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from model_zoo.ops.stft import stft
from trainers.evaluation.judge import Wave

COLOURS = ("#2a6f97", "#e07a1f", "#5a9e4b", "#a94fa0", "#b5352f", "#6b6b6b", "#c3a41c", "#33a9a0")
"""One for each method, in their order; told apart by people who do not see red and green alike."""

STYLE = Path(__file__).with_name("charts.mplstyle")

POINTS, HOP = 2048, 512
RANGE = 80
"""dB between the loudest point of a spectrogram and the darkest colour."""

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""Of each method and stem, one number a song."""


def boxes(title: str, values: Values, stems: Sequence[str]) -> str:
    """Box plots: for each stem a box for each method.

    Boxes reach from the first to the third quartile with the median in them, whiskers to the last
    song within one and a half times that, further songs are points.

    Returns:
        An SVG.
    """
    with _drawing(9, 3.2) as (figure, axes):
        width = 0.8 / max(len(values), 1)
        for number, by_stem in enumerate(values.values()):
            places = [index + (number + 0.5) * width - 0.4 for index in range(len(stems))]
            numbers = [_finite(by_stem.get(stem, ())) for stem in stems]
            _draw_boxes(axes, numbers, places, 0.8 * width, _colour(number))
        axes.set_xticks(range(len(stems)), stems)
        axes.set_xlim(-0.5, len(stems) - 0.5)
        axes.set_ylabel("dB")
        axes.set_title(title)
        axes.grid(axis="y")
        _legend(axes, [*values])
        return _svg(figure)


def curves(title: str, hop: float, values: Mapping[str, Sequence[float]]) -> str:
    """A line for each method over the windows of a song; gaps where there is no score.

    Args:
        title: above it.
        hop: seconds between windows.
        values: of each method, one number a window; a method without any keeps its colour.

    Returns:
        An SVG.
    """
    with _drawing(9, 2.4) as (figure, axes):
        for number, (method, line) in enumerate(values.items()):
            style = "--" if method == "mixture" else "-"
            seconds = [hop * frame for frame in range(len(line))]
            if seconds:
                name = method.lstrip("_")  # matplotlib leaves others out of legends
                axes.plot(seconds, line, style, color=_colour(number), marker=".", label=name)
        axes.set_xlabel("seconds")
        axes.set_ylabel("SDR in dB")
        axes.set_title(title)
        axes.grid()
        if axes.lines:
            axes.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.25))
        return _svg(figure)


def spectrograms(waves: Mapping[str, Wave], sample_rate: int) -> bytes:
    """Levels of pieces of sound side by side, on one scale: that of the loudest point of the first.

    Args:
        waves: by the title of the picture.
        sample_rate: in Hz.

    Returns:
        A PNG.
    """
    levels = {title: _levels(wave) for title, wave in waves.items()}
    top = float(next(iter(levels.values())).max())
    end = next(iter(waves.values())).shape[-1] / sample_rate
    with _styled():
        figure = Figure(figsize=(3.1 * len(waves), 2.3), layout="constrained")
        panels = figure.subplots(1, len(waves), sharey=True, squeeze=False)[0]
        for panel, (title, level) in zip(panels, levels.items(), strict=True):
            panel.imshow(
                level,
                origin="lower",
                aspect="auto",
                extent=(0.0, end, 0.0, sample_rate / 2000),
                vmin=top - RANGE,
                vmax=top,
                cmap="magma",
                interpolation="nearest",
            )
            panel.set_title(title, fontsize=9)
            panel.set_xlabel("seconds", fontsize=8)
            panel.tick_params(labelsize=7)
        panels[0].set_ylabel("kHz", fontsize=8)
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=80)
    return held.getvalue()


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of one plot, in inches, in the style of all pictures of a page."""
    with _styled():
        figure = Figure(figsize=(width, height))
        yield figure, figure.add_subplot()


@contextmanager
def _styled() -> Iterator[None]:
    """Names of songs and models may have any letter; the browser has fonts for more than we do."""
    with mpl.rc_context(fname=STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _draw_boxes(
    axes: Axes, values: list[list[float]], places: list[float], width: float, colour: str
) -> None:
    drawn = axes.boxplot(
        values,
        positions=places,
        widths=width,
        patch_artist=True,
        manage_ticks=False,
        flierprops={"marker": ".", "markersize": 4, "markeredgecolor": colour},
        medianprops={"color": "black"},
    )
    for box in drawn["boxes"]:
        box.set(facecolor=colour, alpha=0.75, edgecolor=colour)


def _legend(axes: Axes, names: Sequence[str]) -> None:
    patches = [Patch(color=_colour(i), label=name) for i, name in enumerate(names)]
    axes.legend(
        handles=patches, frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.12)
    )


def _levels(wave: Wave) -> np.ndarray:
    """In dB, of the mean of the channels."""
    mono = wave.mean(0)
    if len(mono) <= POINTS:
        mono = torch.nn.functional.pad(mono, (0, POINTS))
    power = stft(mono, torch.hann_window(POINTS), HOP).abs().square()
    return (10 * torch.log10(power + 1e-10)).numpy()


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def _svg(figure: Figure) -> str:
    held = io.StringIO()
    figure.savefig(held, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = held.getvalue()
    return text[text.index("<svg") :]
