"""Options that files of other programs or users state, under our names.

What is stated is compared with what the tensors tell: a contradiction is an error that names both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from model_zoo.errors import ConfigError
from model_zoo.option_names import option, setting
from model_zoo.parsing import shown

LARGEST = 2**40
"""Largest number in a statement; each option has a limit of its own."""


class Statement(NamedTuple):
    """An option that is stated somewhere.

    Attributes:
        option: its name here.
        value: its value here.
        words: the statement in the words of its source.
        source: the name of the source in messages.
    """

    option: str
    value: Any
    words: str
    source: str


class OptionNames(NamedTuple):
    """An option by its name in files of another program.

    Attributes:
        theirs: name there; in configuration files with the section, as in ``model.dim``.
        ours: name here.
        convert: converts a value; raises ValueError for one that makes no sense.
    """

    theirs: str
    ours: str
    convert: Callable[[Any], Any] = lambda value: value


def whole(value: Any) -> int:
    """A whole number, also if it is written as 7.0.

    Raises:
        ValueError: it is none.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) <= LARGEST or value % 1 > 0:
        raise ValueError("a whole number")
    return int(value)


def number(value: Any) -> float:
    """A number.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < 1e9:
        raise ValueError("a number")
    return float(value)


def wholes(value: Any) -> tuple[int, ...]:
    """Whole numbers.

    Raises:
        ValueError: the value is not a list of them.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of whole numbers")
    return tuple(map(whole, value))


def ratios(value: Any) -> tuple[float, ...]:
    """Numbers between 0 and 1.

    Raises:
        ValueError: the value is not a list of them.
    """
    is_list = isinstance(value, (list, tuple))
    if not is_list or not all(isinstance(x, (int, float)) and 0 <= x <= 1 for x in value):
        raise ValueError("a list of numbers from 0 to 1")
    return tuple(map(float, value))


def channels(stereo: Any) -> int:
    """Audio channels from whether a network is stereo.

    Raises:
        ValueError: the value is not true or false.
    """
    if not isinstance(stereo, bool):
        raise ValueError("true or false")
    return 1 + stereo


def stated(values: Mapping[str, Any], names: Iterable[OptionNames], source: str) -> list[Statement]:
    """The options that a file states.

    Args:
        values: its values by their names there.
        names: these names and ours.
        source: the file in messages, e.g. ``--config``.

    Raises:
        ConfigError: a value makes no sense.
    """
    found = []
    for theirs, ours, convert in names:
        value = values.get(theirs)
        if value is None:
            continue
        try:
            converted = convert(value)
        except ValueError as error:
            raise ConfigError(source, [f"{theirs} must be {error}, found {shown(value)}"]) from None
        found.append(Statement(ours, converted, f"{theirs} is {shown(value)}", source))
    return found


def combined(seen: Mapping[str, Any], *statements: Iterable[Statement]) -> dict[str, Any]:
    """Options that the tensors tell, and those that are stated.

    Args:
        seen: options by names and shapes of the tensors.
        statements: what is stated, by each source.

    Raises:
        ConfigError: a statement contradicts the tensors or another one.
    """
    config = dict(seen)
    by = dict.fromkeys(seen, "the tensors are those of")
    for statement in (each for source in statements for each in source):
        known = config.setdefault(statement.option, statement.value)
        if _plain(known) != _plain(statement.value):
            other = f"{by[statement.option]} {setting_of(statement.option, known)}"
            raise ConfigError(statement.source, [f"{statement.words}, but {other}"])
        by.setdefault(statement.option, f"{statement.source} says")
    return config


def chosen(options: Mapping[str, Any]) -> list[Statement]:
    """What the user states."""
    return [
        Statement(name, value, f"it is {shown(value)}", option(name))
        for name, value in options.items()
        if value is not None
    ]


def setting_of(name: str, value: Any) -> str:
    """An option and its value in a message."""
    return f"{name} {shown(_plain(value))}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def required(config: Mapping[str, Any], usual: Mapping[str, Any], origin: Path) -> None:
    """Refuse to guess options that only a configuration file tells.

    Args:
        config: options that are known.
        usual: options that must be known, and their usual values; None for those without one.
        origin: the checkpoint.

    Raises:
        ConfigError: one is unknown.
    """
    for name, value in usual.items():
        if name not in config:
            file = setting(config=f"{origin.stem}.yaml")
            hint = "" if value is None else f", or {setting(**{name: value})}, which is usual"
            raise ConfigError(
                option("config"),
                [f"neither a YAML nor the tensors of {origin.name} tell {name}: add {file}{hint}"],
            )
