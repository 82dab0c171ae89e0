"""Reads JSON, TOML and YAML from untrusted files, with limits on size, depth and numbers.

Numbers with thousands of digits, endless nesting and values that reference each other break
parsers and the code that prints results. All of them are reported as damage.
"""

from __future__ import annotations

import errno
import json
import re
import reprlib
import stat
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from model_zoo.errors import ConfigError


def dumps(values: Mapping[str, Any]) -> str:
    """Write TOML: plain values, lists of them, and lists of flat mappings."""
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
        # Basic strings are escaped as in JSON; TOML also forbids a bare DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


MOST_BYTES = 16 * 2**20
"""Largest text; metadata of a large network have less than 1 MiB."""

MOST_TOML = 2**16
"""Largest card in bytes, twenty times the usual."""

MOST_DOTS = 500
"""Largest number of dots in a line of a card: tomllib takes quadratic time for dotted keys."""

MOST_YAML = 2**18
"""Longest recipe in characters; PyYAML reads some hundred thousand per second."""

MOST_VALUES = 1_000_000
"""Largest number of values in a text, counting references."""

DEEPEST = 50
"""Deepest nesting of lists and mappings; the deepest recipe has five levels."""

NOT_UTF8 = "it is not UTF-8 text; save it as UTF-8"
"""What to say about a file whose text cannot be decoded."""

LONGEST = 80
"""Longest value in a message, in characters."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LONGEST
_SHORT.maxlevel = 2


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a short text from a regular file.

    Args:
        path: the file.
        most: its largest size in bytes.

    Raises:
        OSError: the file cannot be read, or is a pipe or a device, which might never end.
        ValueError: the text is too long or not UTF-8.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if status.st_size > most:
        raise ValueError(f"it has {status.st_size:,} bytes")
    return path.read_text("utf-8")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a short TOML file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is invalid, too long or too deeply nested.
    """
    return parse_toml(read_text(path, MOST_TOML))


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a short TOML document.

    Raises:
        ValueError: it is invalid or too deeply nested.
    """
    try:
        dots = max(line.count(".") for line in text.split("\n"))
        if dots > MOST_DOTS:
            raise ValueError(f"it has a line with {dots:,} dots")
        values: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    require_bounded(values)
    return values


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: the text is invalid, too long or too deeply nested.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has {len(text):,} characters")
    try:
        return require_bounded(json.loads(text))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def require_bounded(value: Any) -> Any:
    """Return ``value`` if its number of values and levels is within limits.

    Raises:
        ValueError: a limit is exceeded. Lists that contain themselves or each other are counted in
            full.
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
    """Format a value for a message: ``repr``, shortened to a line."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a number of thousands of digits"


def shortened(text: str, most: int = LONGEST) -> str:
    """Shorten a text for a message."""
    return text if len(text) <= most else f"{text[:most]}..."


BACKSLASHES = (
    r"write a path with single quotes, with \\ or with /, because \ has a meaning between double "
    "quotes"
)
"""Advice for paths of Windows in TOML and YAML."""

IN_YAML = rf"{BACKSLASHES}: folder: 'D:\Music'"

DRIVE = re.compile(r"[A-Za-z]:[\x00-\x1f\x7f]")


@cache
def _yaml_loader(has_tuples: bool) -> Any:
    """The safe YAML loader with the numbers of YAML 1.2, e.g. 1e-3; imported when it is needed."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"),
        [*"-+.0123456789"],
    )
    if has_tuples:
        as_list: Any = Loader.construct_sequence
        Loader.add_constructor("tag:yaml.org,2002:python/tuple", as_list)
    return Loader


def parse_yaml(where: str, text: str, *, has_tuples: bool = False) -> Any:
    """Parse YAML.

    Args:
        where: the source, for messages.
        text: the document.
        has_tuples: read PyYAML's ``!!python/tuple`` as a list instead of refusing it.

    Raises:
        ConfigError: the text is invalid.
    """
    import yaml

    try:
        if len(text) > MOST_YAML:
            raise ValueError(f"it has {len(text):,} characters")
        return require_bounded(yaml.load(text, _yaml_loader(has_tuples)))
    except RecursionError as error:
        raise ConfigError(where, ["not valid YAML: it is nested too deeply"]) from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(where, [f"not valid YAML: {_marked(error, text)}"]) from error
    except Exception as error:  # constructors of tagged values may raise anything
        reason = shortened(" ".join(str(error).split()), 300)
        raise ConfigError(where, [f"not valid YAML: {reason}"]) from error


def _marked(error: Any, text: str) -> str:
    """A mistake that PyYAML found at one place, with the place and advice for paths."""
    mark = error.problem_mark or error.context_mark
    words = [part for part in (error.problem, error.context) if part]
    reason = shortened(" ".join(" ".join(words).split()), 300)
    if mark is None:
        return reason
    first = (error.context_mark or mark).line
    lines = text.splitlines()[first : mark.line + 1]
    advice = f"; {IN_YAML}" if any("\\" in line for line in lines) else ""
    return f"{reason} (line {mark.line + 1}, column {mark.column + 1}){advice}"


def refuse_control_characters(where: str, values: Any) -> None:
    r"""Refuse what YAML and JSON make of ``"C:\temp"``: a drive with a tab.

    Raises:
        ConfigError: a value begins with a drive and a control character.
    """
    if broken := next((text for text in _texts(values) if DRIVE.match(text)), None):
        raise ConfigError(where, [f"{shown(broken)} holds control characters; {IN_YAML}"])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def parse_change(change: str, example: str) -> tuple[str, Any]:
    """Parse the argument of ``--set key=value``.

    Args:
        change: the argument.
        example: a valid argument, for the message.

    Raises:
        ConfigError: the argument is invalid.
    """
    key, _, text = change.partition("=")
    if not key or key == change:
        raise ConfigError("--set", [f"'{change}' must look like {example}"])
    try:
        return key, parse_yaml("--set", text)
    except ConfigError as error:
        mistake = f"{change}: not valid YAML: a list looks like '{key}=[1, 2]', with the quotes"
        raise ConfigError("--set", [mistake]) from error
