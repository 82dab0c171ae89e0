"""Reads JSON, TOML and YAML from untrusted files, with limits on size, depth and numbers.

Numbers of thousands of digits, nesting without end and values that refer to each other break
parsers and the code that prints their results. All of them are reported as damage.
"""

from __future__ import annotations

import errno
import json
import reprlib
import stat
import tomllib
from pathlib import Path
from typing import Any

MOST_BYTES = 16 * 2**20
"""Bytes of a text: the metadata of a large network have less than one."""

MOST_TOML = 2**16
"""Bytes of a card, twenty times those of the usual ones."""

MOST_DOTS = 500
"""In a line of a card: for a key of many parts tomllib takes the square of their number."""

MOST_YAML = 2**18
"""Characters of a recipe, of which PyYAML reads some hundred thousand in a second."""

MOST_VALUES = 1_000_000
"""Values in a text, each counted as often as it is referred to."""

DEEPEST = 50
"""Levels of lists and mappings: the deepest recipe has five."""

LONGEST = 80
"""Characters of a value in a sentence."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LONGEST
_SHORT.maxlevel = 2


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """A short text in a regular file.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which might never end.
        ValueError: it is too long, or is not UTF-8.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes")
    return path.read_text("utf-8")


def read_toml(path: Path) -> dict[str, Any]:
    """What a short file in TOML says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not valid, too long or too deep.
    """
    try:
        text = read_text(path, MOST_TOML)
        dots = max(line.count(".") for line in text.split("\n"))
        if dots > MOST_DOTS:
            raise ValueError(f"it has a line with {dots:,} dots")
        values: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    require_bounded(values)
    return values


def parse_json(text: str | bytes) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: it is not valid, too long or too deep.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has {len(text):,} characters")
    try:
        return require_bounded(json.loads(text))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def require_bounded(value: Any) -> Any:
    """``value`` itself, if it has a sane number of values and levels.

    Raises:
        ValueError: it has not. Lists that hold themselves, or each other many times over, are
            counted out in full.
    """
    waiting, count = [(value, 0)], 0
    while waiting:
        each, depth = waiting.pop()
        count += 1
        if depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        if count > MOST_VALUES:
            raise ValueError("it holds too many values")
        inner = each.values() if isinstance(each, dict) else each
        if isinstance(each, (dict, list, tuple, set)):
            waiting += [(item, depth + 1) for item in inner]
    return value


def shown(value: Any) -> str:
    """A value in a sentence: ``repr``, but never longer than a line."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"


def shortened(text: str, most: int = LONGEST) -> str:
    """A text that is cut where it is too long for a sentence."""
    return text if len(text) <= most else f"{text[:most]}..."
