"""Axes, dots, lines and words on a picture: the little that a plot needs, drawn with Pillow.

Everything is drawn three times as large and then made smaller, which smooths every edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from model_zoo.files import staged

SCALE = 3
"""Pixels drawn for one of the picture, along each side."""

WHITE, INK, PALE, GRID = "#ffffff", "#20262c", "#6b7680", "#e3e7ea"
SMALL, NORMAL, LARGE = 12, 14, 22
"""Heights of letters in pixels."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


class Canvas:
    """A white picture of a size in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.size = width, height
        self._image = Image.new("RGB", (width * SCALE, height * SCALE), WHITE)
        self._draw = ImageDraw.Draw(self._image)

    def save(self, path: Path) -> None:
        """Write a PNG.

        Raises:
            OutputError: the file cannot be written.
        """
        small = self._image.resize(self.size, Image.Resampling.LANCZOS)
        with staged(path) as temporary:
            small.save(temporary, "PNG", optimize=True)

    def text(
        self, place: Point, words: str, *, size: int = NORMAL, colour: str = INK, anchor: str = "lm"
    ) -> None:
        """Words at a place; ``anchor`` is Pillow's, e.g. ``mm`` for their middle."""
        x, y = place
        self._draw.text((x * SCALE, y * SCALE), words, colour, _font(size), anchor)

    @staticmethod
    def width_of(words: str, size: int = NORMAL) -> float:
        """Pixels that words take."""
        return _font(size).getlength(words) / SCALE

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0) -> None:
        """A line through points."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, colour, max(1, round(width * SCALE)), joint="curve")

    def dot(self, place: Point, radius: float, colour: str, *, hollow: bool = False) -> None:
        """A disc, or the ring around it."""
        x, y = (SCALE * axis for axis in place)
        size = SCALE * radius
        corners = (x - size, y - size, x + size, y + size)
        if hollow:
            self._draw.ellipse(corners, WHITE, colour, round(1.6 * SCALE))
        else:
            self._draw.ellipse(corners, colour)

    def cross(self, place: Point, radius: float, colour: str) -> None:
        """A cross."""
        x, y = place
        for sign in (-1, 1):
            ends = [(x - radius, y - sign * radius), (x + radius, y + sign * radius)]
            self.line(ends, colour, 1.8)


@dataclass(frozen=True)
class Axis:
    """From numbers to pixels, evenly or in the logarithm.

    Attributes:
        low: number at the beginning.
        high: number at the end.
        log: whether equal factors are equally far apart.
        ticks: numbers that are written beside it, and how; empty chooses round ones.
    """

    low: float
    high: float
    log: bool = False
    ticks: tuple[tuple[float, str], ...] = ()

    def share(self, value: float) -> float:
        """Where a number lies, from 0 to 1; what lies outside is put at the end."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    @property
    def marks(self) -> tuple[tuple[float, str], ...]:
        """Numbers to write, and how."""
        return self.ticks or tuple((tick, f"{tick:g}") for tick in round_numbers(self))


@dataclass(frozen=True)
class Panel:
    """A plot: a box, its axes and its title."""

    canvas: Canvas
    box: Box
    x: Axis
    y: Axis

    def frame(self, title: str) -> None:
        """Grid lines with their numbers, and the title."""
        box, canvas = self.box, self.canvas
        canvas.text((box.left, box.top - 16), title)
        for number, words in self.y.marks:
            _, y = self.at(self.x.low, number)
            canvas.line([(box.left, y), (box.right, y)], GRID)
            canvas.text((box.left - 8, y), words, size=SMALL, colour=PALE, anchor="rm")
        for number, words in self.x.marks:
            x, _ = self.at(number, self.y.low)
            canvas.line([(x, box.bottom), (x, box.bottom + 4)], PALE)
            for row, word in enumerate(words.split("/")):
                place = (x, box.bottom + 14 + 14 * row)
                canvas.text(place, word, size=SMALL, colour=PALE, anchor="mm")
        canvas.line([(box.left, box.bottom), (box.right, box.bottom)], PALE)

    def at(self, x: float, y: float) -> Point:
        """The pixel of two numbers."""
        box = self.box
        return (
            box.left + self.x.share(x) * (box.right - box.left),
            box.bottom - self.y.share(y) * (box.bottom - box.top),
        )


def round_numbers(axis: Axis, count: int = 5) -> list[float]:
    """About ``count`` round numbers of an axis: 1, 2 or 5 times a power of ten, or multiples."""
    if axis.log:
        decades = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
        numbers = [one * 10.0**decade for decade in decades for one in (1, 2, 5)]
        inside = [number for number in numbers if axis.low * 0.999 <= number <= axis.high * 1.001]
        return inside if len(inside) <= count else inside[:: math.ceil(len(inside) / count)]
    rough = (axis.high - axis.low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough)
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)
