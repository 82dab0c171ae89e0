"""Figures drawn by matplotlib: the style that all figures share, and panels of spectrograms.

Figures are made and saved without pyplot, whose state is global, and inside :func:`styled`, which
one thread at a time can enter: matplotlib keeps its settings in one dictionary.

In a spectrogram the frequency axis is logarithmic, as pitch is heard. Brightness is the level in
dB, over :data:`RANGE_DB` below the loudest point.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.image import AxesImage

from stemcli.spectrogram import frequencies

STYLE = Path(__file__).with_name("charts.mplstyle")
COLORMAP = "inferno"
"""From nearly black to light yellow; its lightness rises evenly, so it can be read in grey too."""

DPI = 100

RANGE_DB = 80.0
FAINTEST_DB = -120.0
"""Sound below this level is dark, even if nothing is louder."""

TICKS_HZ = {100: "100 Hz", 1000: "1 kHz", 10_000: "10 kHz"}
"""Frequencies with a label, and the labels."""

FALLBACK_FONTS = (
    "Arial Unicode MS",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Yu Gothic",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "WenQuanYi Zen Hei",
)
"""Fonts of macOS, Windows and Linux with letters that matplotlib's own font lacks."""

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


def font_families() -> list[str]:
    """The font of the style, then the installed ones of :data:`FALLBACK_FONTS`.

    matplotlib logs a warning for every font of a list that is not installed.
    """
    installed = {font.name for font in fontManager.ttflist}
    return ["sans-serif", *(name for name in FALLBACK_FONTS if name in installed)]


def draw_levels(
    axes: Axes,
    level: Float[np.ndarray, "row column"],
    top: float,
    seconds: tuple[float, float],
    sample_rate: int,
) -> AxesImage:
    """Draw a spectrogram; its vertical axis is the logarithm to base 10 of the frequency in Hz.

    Args:
        axes: where to draw.
        level: in dB, the lowest frequency in the last row.
        top: level of the brightest color.
        seconds: time at the left edge of the first column and at the right edge of the last.
        sample_rate: in Hz.
    """
    low, high = np.log10(frequencies(sample_rate)[[0, -1]])
    return axes.imshow(
        level,
        cmap=COLORMAP,
        vmin=top - RANGE_DB,
        vmax=top,
        aspect="auto",
        extent=(*seconds, low, high),
    )


def label_frequencies(axes: Axes, sample_rate: int) -> None:
    """Label powers of 10 beside a drawn spectrogram, and mark the numbers between them."""
    highest = sample_rate / 2
    shown = {np.log10(hz): text for hz, text in TICKS_HZ.items() if hz < highest}
    between = [digit * 10**power for power in range(1, 6) for digit in range(2, 10)]
    axes.set_yticks([*shown], [*shown.values()])
    axes.set_yticks(np.log10([hz for hz in between if hz < highest]), minor=True)
    axes.set_ylim(axes.images[0].get_extent()[2:])


def to_png(figure: Figure) -> bytes:
    """A PNG file."""
    with styled():
        held = io.BytesIO()
        FigureCanvasAgg(figure).print_png(held)
    return held.getvalue()
