"""The picture of one song: a PNG with the spectrograms of the mixture and of each stem.

The spectrograms are measured block by block while the song is separated and encoded, so memory does
not grow with the length of the song. matplotlib is imported only when a picture is drawn.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from model_zoo.errors import OutputError, first_line
from model_zoo.option_names import option
from stemcli.audio.write_errors import explain_write_errors
from stemcli.audio.writer import beside
from stemcli.engine.overlap_add import Block
from stemcli.printable import printable
from stemcli.spectrogram import Spectrogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.text import Text

MIXTURE = "mixture"
"""Label of the song's own panel, the topmost."""

WIDTH_INCHES = 16.0
LEFT_INCHES, RIGHT_INCHES = 0.75, 1.1
"""Beside the panels, for the labels of the frequencies and for the color bar."""

TITLE_INCHES, LABEL_INCHES, TIME_INCHES = 0.45, 0.33, 0.35
"""Above all panels, above each panel, and below all panels, for the texts there."""

PANEL_INCHES, LOWEST_PANEL_INCHES, MOST_INCHES = 2.4, 0.5, 100.0
"""Height of a panel with its label; if all would be higher than the last of these, they are lower.
"""

TITLE_SHARE, LABEL_SHARE = 0.94, 0.87
"""Largest part of the width that a title or a label of a panel takes; longer ones are cut."""

STEPS = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
"""Seconds between two labels of the time axis."""

MOST_STEPS = 12


class SongPicture:
    """Measures one song and its stems, then draws them under a temporary name.

    ``create`` the file before the work, ``draw`` when all blocks have passed, then ``discard`` it,
    or let :func:`~stemcli.engine.publish.publish_files` rename it.

    Attributes:
        path: final path of the file.
        temporary: path until it is renamed.

    Args:
        path: final path of the file.
        title: name of the song.
        stems: names of the stems, in the order of a block.
        sample_rate: of all blocks, in Hz.
        channels: of all blocks.
    """

    def __init__(
        self, path: Path, title: str, stems: Sequence[str], sample_rate: int, channels: int
    ) -> None:
        self.path, self.temporary = path, beside(path)
        self._title, self._rate = title, sample_rate
        self._names = (MIXTURE, *stems)
        self._mixture, *self._stems = (Spectrogram(sample_rate, channels) for _ in self._names)
        self._frames = 0

    def create(self) -> Self:
        """Create an empty file, so that a folder without write permission shows at once."""
        with explain_write_errors(self.path):
            self.temporary.touch()
        return self

    def measured(self, mixture: Iterable[Block]) -> Iterator[Block]:
        """Pass the blocks of the mixture through and measure them."""
        for block in mixture:
            self._mixture.push(block)
            self._frames += len(block)
            yield block

    def push(self, stem: int, block: Block) -> None:
        """Measure frames of a stem, ``(frames, channel)``; stems may be in different threads."""
        self._stems[stem].push(block)

    def draw(self) -> None:
        """Draw the picture after the last block.

        Raises:
            OutputError: the picture cannot be drawn, or the file cannot be written.
        """
        check_drawing()
        from stemcli.plots import to_png

        spectrograms = (self._mixture, *self._stems)
        for spectrogram in spectrograms:
            spectrogram.finish()
        panels = list(zip(self._names, spectrograms, strict=True))
        png = to_png(draw_song(self._title, panels, self._frames, self._rate))
        with explain_write_errors(self.path):
            self.temporary.write_bytes(png)

    def discard(self) -> None:
        """Remove the file under its temporary name."""
        self.temporary.unlink(missing_ok=True)


def check_drawing() -> None:
    """Check that pictures can be drawn.

    Raises:
        OutputError: matplotlib is missing or broken.
    """
    try:
        with _quiet("matplotlib"):
            import stemcli.plots  # noqa: F401
    except Exception as error:
        raise OutputError(
            f"matplotlib, which {option('picture')} needs, cannot be used ({first_line(error)}). "
            "Try: pip install --force-reinstall matplotlib, or run it again without "
            f"{option('picture')}"
        ) from error


def draw_song(
    title: str, panels: Sequence[tuple[str, Spectrogram]], frames: int, sample_rate: int
) -> Figure:
    """Spectrograms below each other, on the same scale, whose top is the loudest point of all.

    Args:
        title: name of the song; may hold anything.
        panels: label and spectrogram, from above.
        frames: length of the song.
        sample_rate: in Hz.
    """
    from stemcli.plots import FAINTEST_DB, draw_levels, font_families, label_frequencies, styled

    levels = [spectrogram.levels() for _, spectrogram in panels]
    top = max(FAINTEST_DB, *(level.max() for level in levels))
    with styled():
        figure, all_axes = _grid(len(panels))
        fonts = font_families()
        for axes, (label, spectrogram), level in zip(all_axes, panels, levels, strict=True):
            image = draw_levels(axes, level, top, spectrogram.span_seconds, sample_rate)
            _fit(axes.set_title("", fontsize=11, family=fonts), label, LABEL_SHARE)
            label_frequencies(axes, sample_rate)
        _label_time(axes, max(1, frames) / sample_rate)
        _draw_bar(figure, image)
        x, y = LEFT_INCHES / WIDTH_INCHES, 1 - 0.1 / figure.get_figheight()
        text = figure.suptitle("", x=x, y=y, ha="left", va="top", fontsize=15, family=fonts)
        _fit(text, title, TITLE_SHARE)
    return figure


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with empty panels; set in inches, which is much faster than a layout engine."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from stemcli.plots import DPI

    panel = min(PANEL_INCHES, max(LOWEST_PANEL_INCHES, MOST_INCHES / count))
    height = TITLE_INCHES + count * panel + TIME_INCHES
    figure = Figure((WIDTH_INCHES, height), DPI)
    FigureCanvasAgg(figure)  # keeps one renderer; without it every measured text has its own
    grid = figure.subplots(count, sharex=True, sharey=True, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=LEFT_INCHES / WIDTH_INCHES,
        right=1 - RIGHT_INCHES / WIDTH_INCHES,
        bottom=TIME_INCHES / height,
        top=1 - (TITLE_INCHES + LABEL_INCHES) / height,
        hspace=LABEL_INCHES / (panel - LABEL_INCHES),
    )
    return figure, list(grid)


def _draw_bar(figure: Figure, image: AxesImage) -> None:
    """The color bar of all panels."""
    above, below = figure.axes[0].get_position(), figure.axes[-1].get_position()
    place = (above.x1 + 0.01, below.y0, 0.01, above.y1 - below.y0)
    bar = figure.colorbar(image, cax=figure.add_axes(place), label="dBFS")
    bar.outline.set_visible(False)


def _label_time(axes: Axes, end: float) -> None:
    """Label round times, at most :data:`MOST_STEPS` of them."""
    axes.set_xlim(0, end)
    step = next((step for step in STEPS if end / step <= MOST_STEPS), end)
    times = np.arange(0, end, step)
    axes.set_xticks(times, [_clock(time, step) for time in times])


def _clock(seconds: float, step: float) -> str:
    """``1:05`` or ``1:02:03``; with decimals if the step is below a second."""
    decimals = max(0, -int(np.floor(np.log10(step))))
    minutes, rest = divmod(round(seconds, decimals), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:0{decimals + 3 if decimals else 2}.{decimals}f}"
    return f"{hours}:{minutes:02}:{text}" if hours else f"{minutes}:{text}"


def _fit(text: Text, name: str, share: float) -> None:
    """Write a name as one line without control codes, cut to a share of the figure's width."""
    from stemcli.plots import DPI

    room = share * WIDTH_INCHES * DPI
    shown = printable(name)
    text.set_text(shown)
    while (width := text.get_window_extent().width) > room:
        shown = shown[: int(len(shown) * room / width) - 1]
        text.set_text(f"{shown}…")


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Drop remarks of a package, e.g. that it builds a font cache; errors are shown."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
