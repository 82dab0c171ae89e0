"""Reads JSON, TOML and YAML from untrusted files, with limits on size, depth and numbers.

Numbers of thousands of digits, nesting without end and values that refer to each other break
parsers and the code that prints their results. All of them are reported as damage.
"""

from __future__ import annotations

import errno
import json
import re
import reprlib
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from model_zoo.errors import ConfigError


def dumps(values: Mapping[str, Any]) -> str:
    """TOML text of a mapping of plain values, lists of them, and lists of flat mappings."""
    tables = {key: value for key, value in values.items() if _is_tables(value)}
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if key not in tables]
    for key, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{key}]]", *(f"{name} = {_value(item)}" for name, item in row.items())]
    return "\n".join(lines) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value)


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        # A basic string escapes as JSON does; TOML alone also forbids a bare DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


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


class _Loader(yaml.SafeLoader):
    """YAML whose numbers are those of YAML 1.2: 1e-3 is one."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"),
    [*"-+.0123456789"],
)


def parse_yaml(where: str, text: str) -> Any:
    """What a text in YAML says.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        if len(text) > MOST_YAML:
            raise ValueError(f"it has {len(text):,} characters")
        return require_bounded(yaml.load(text, _Loader))
    except RecursionError as error:
        raise ConfigError(where, ["not valid YAML: it is nested too deeply"]) from error
    except Exception as error:  # of tagged values PyYAML raises what their constructors raise
        reason = shortened(" ".join(str(error).split()), 300)
        raise ConfigError(where, [f"not valid YAML: {reason}"]) from error


def parse_change(change: str, example: str) -> tuple[str, Any]:
    """Key and value of what was typed as ``--set key=value``.

    Args:
        change: what was typed.
        example: what it could have been.

    Raises:
        ConfigError: it cannot be understood.
    """
    key, _, text = change.partition("=")
    if not key or key == change:
        raise ConfigError("--set", [f"{change!r} must look like {example}"])
    try:
        return key, parse_yaml("--set", text)
    except ConfigError as error:
        mistake = f"{change}: not valid YAML: a list looks like '{key}=[1, 2]', with the quotes"
        raise ConfigError("--set", [mistake]) from error
