"""Parameter types of options: times, names, numbers in a range, bit rates and formats."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click
from click import BadParameter, Context, FloatRange, IntRange, Parameter

from stemcli.cli import candidates

CLOCK = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)")
DEVICE = re.compile("|".join((*candidates.DEVICES, r"cuda:\d+")))
SIXTY = 60  # seconds in a minute, minutes in an hour


def seconds(text: str) -> float:
    """A time in a song, in seconds: ``90``, ``1:30`` or ``1:02:03.5``."""
    match = CLOCK.fullmatch(text.strip())
    if not match:
        raise BadParameter(f"{text!r} is not a time. Try e.g. 90, 1:30 or 1:02:03.5")
    hours, minutes = int(match["hours"] or 0), int(match["minutes"] or 0)
    rest = float(match["seconds"])
    if (match["minutes"] and rest >= SIXTY) or (match["hours"] and minutes >= SIXTY):
        raise BadParameter(f"{text!r} is not a time: numbers after a colon must be below 60")
    return (hours * SIXTY + minutes) * SIXTY + rest


def fraction(text: str) -> float:
    """A fraction: 0 <= fraction < 1."""
    try:
        number = float(text)
    except ValueError as error:
        raise BadParameter(f"{text!r} is not a number. Try a fraction, e.g. 0.25") from error
    if not 0 <= number < 1:
        raise BadParameter(f"{text} is not at least 0 and below 1. Try e.g. 0.25")
    return number


def track(text: str) -> int:
    """The number of an audio track, counted from 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip(), re.ASCII) or not int(text):
        raise BadParameter(
            f"{text!r} is not a track number. Use e.g. --track 2 for the second track"
        )
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas, without spaces and duplicates, in the given order."""
    unique = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not unique:
        raise BadParameter("no name was given. Try e.g. vocals,drums")
    return unique


def device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    word = text.strip().lower()
    if CLOCK.fullmatch(word):
        raise BadParameter(f"{text!r} is not a device. For the time where to stop use --end")
    if not DEVICE.fullmatch(word):
        raise BadParameter(f"{text!r} is not a device. Try auto, cpu, cuda, cuda:0 or mps")
    return word


def workflow(text: str) -> str:
    """Content of a workflow file, which also serves on machines without the file."""
    if not text:
        return ""
    from model_zoo.parsing import read_text
    from stemcli.engine.workflow import read_workflow

    read_workflow(text)
    return f"{read_text(Path(text))}\n"


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
