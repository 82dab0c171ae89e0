"""Kinds of values on the command line, each checked before anything else happens.

Each function takes the text that was typed and gives the value; click calls them as the ``type`` of
an option and puts the option's name before their message.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from click import BadParameter, Context, FloatRange, Parameter

CLOCK = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)")
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
REPORTS = (".json", ".csv")
SIXTY = 60  # seconds in a minute, minutes in an hour


def seconds(text: str) -> float:
    """A point in a song, in seconds: ``90``, ``1:30`` or ``1:02:03.5``."""
    found = CLOCK.fullmatch(text.strip())
    if not found:
        raise BadParameter(f"{text!r} is no time. Type e.g. 90, 1:30 or 1:02:03.5")
    hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    rest = float(found["seconds"])
    if (found["minutes"] and rest >= SIXTY) or (found["hours"] and minutes >= SIXTY):
        raise BadParameter(f"{text!r} is no time: what follows a colon is below 60")
    return (hours * SIXTY + minutes) * SIXTY + rest


def fraction(text: str) -> float:
    """A part of a whole: 0 <= fraction < 1."""
    try:
        number = float(text)
    except ValueError as error:
        raise BadParameter(f"{text!r} is no number. Type a fraction, e.g. 0.25") from error
    if not 0 <= number < 1:
        raise BadParameter(f"{text} is not from 0 to below 1. Type e.g. 0.25")
    return number


def track(text: str) -> int:
    """The number of a sound track, from 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip(), re.ASCII) or not int(text):
        raise BadParameter(
            f"{text!r} is not a track number. Run e.g. --track 2 for the second track"
        )
    return int(text)


class NumberRange(FloatRange):
    """A number between two; the word ``nan``, which is below and above nothing, is none."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> float:
        """The number that was typed."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas, without spaces and repetitions, in the order typed."""
    found = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not found:
        raise BadParameter("no name was given. Type e.g. vocals,drums")
    return found


def device(text: str) -> str:
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    word = text.strip().lower()
    if not DEVICE.fullmatch(word):
        raise BadParameter(f"{text!r} is no device. Type auto, cpu, cuda, cuda:0 or mps")
    return word


def place(text: str) -> Path:
    """A folder of this machine, or a URL."""
    if "://" not in text:
        return Path(text)
    from stemcli.batch.url_path import as_path

    return as_path(text)


def report(text: str) -> Path:
    """A file whose ending, ``.json`` or ``.csv``, chooses the format."""
    path = Path(text)
    if path.suffix.lower() not in REPORTS:
        raise BadParameter(f"{text!r} does not end in .json or .csv. Type e.g. report.csv")
    return path
