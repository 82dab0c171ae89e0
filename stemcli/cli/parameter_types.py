"""Parameter types of options: numbers in a range, bit rates and formats."""

from __future__ import annotations

import math
import re
from typing import Any

import click
from click import BadParameter, Context, FloatRange, IntRange, Parameter


class NumberRange(FloatRange):
    """A range of numbers; ``nan``, which passes the comparisons of click's range, is refused."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:
        """Parse and check the number."""
        try:
            number: float = super().convert(value, param, ctx)
        except BadParameter:
            number = math.nan
        if math.isnan(number):
            self.fail(f"{str(value)!r} is not a number {self._span()}", param, ctx)
        return number

    def _span(self) -> str:
        if self.max is None:
            return f"of at least {self.min:g}" if self.min else "of 0 or more"
        return f"from {self.min:g} to {self.max:g}"


class WholeNumber(IntRange):
    """A range of whole numbers whose error says so."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> int:
        """Parse and check the number."""
        try:
            number: int = super().convert(value, param, ctx)
        except BadParameter:
            self.fail(f"{value!r} is not a whole number {self._span()}", param, ctx)
        return number

    def _span(self) -> str:
        return f"of at least {self.min}" if self.max is None else f"from {self.min} to {self.max}"


def kilobits(text: str) -> int:
    """A bit rate in kbit/s: ``320``, ``320k`` or ``320 kbit/s``."""
    match = re.fullmatch(r"(\d{1,6}) ?(k|kb|kbit|kbps|kbit/s|kb/s)?", text.strip().casefold())
    if not match:
        raise BadParameter(f"{text!r} is not a bit rate in kbit/s. Try e.g. 320")
    return int(match[1])


def weights(text: str) -> tuple[float, ...]:
    """Numbers of 0 or more separated by commas, not all 0."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = (math.nan,)
    if not all(0 <= number < math.inf for number in numbers) or not any(numbers):
        raise BadParameter(f"{text!r} are not weights. Try e.g. 2,1, a number for every --model")
    return numbers


class FormatChoice(click.Choice[str]):
    """A format for the stems; the error for a template names the option for templates."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> str:
        """Check the format."""
        if "{" in str(value):
            self.fail(f"'{value}' is a template. Use --filename for it", param, ctx)
        return super().convert(value, param, ctx)
