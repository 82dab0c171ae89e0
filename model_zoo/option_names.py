"""Names of options in messages: flags on the command line, fields in a Python program.

Every message is written once. ``option("depth")`` is ``--bit-depth`` while a command of ``stem``
runs, in this process or in one that it started, and ``depth`` in every other program.

A message names an option in two roles. What it complains about is a :func:`subject`, which is the
setting if the value comes from one: nobody typed the option then. What the reader should type next
is an :func:`option`, or a :func:`setting` with a value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeGuard

from model_zoo.shell import quoted

VARIABLE = "_STEM_NAMES_FLAGS"
"""Environment variable that is set while a command runs, because child processes inherit it: a JSON
object from fields to the settings that give them their values."""

FLAGS = {"depth": "--bit-depth"}
"""Flags that differ from their field by more than dashes."""

SWITCHES = {("existing", "skip"): "--skip-existing", ("existing", "overwrite"): "--overwrite"}
"""Flags that stand for one value of a field."""

LISTS = ("stems",)
"""Fields whose flag takes names separated by commas; other flags are repeated."""


class Verbatim(str):
    """A value that stands in a message as it is, such as ``NAME`` or ``12.30``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@contextmanager
def command_line(origins: Mapping[str, str] | None = None) -> Iterator[None]:
    """Name options by their flags, in all threads and in processes that are started inside.

    Args:
        origins: the setting, in words, of each field whose value comes from one.
    """
    before = os.environ.get(VARIABLE)
    use_flags(origins or {})
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def use_flags(origins: Mapping[str, str] | None) -> None:
    """Name options by their flags until this process ends, or by their fields.

    Args:
        origins: as :func:`flags_in_use` returns it, in this process or in another.
    """
    os.environ[VARIABLE] = "" if origins is None else json.dumps(dict(origins))


def flags_in_use() -> dict[str, str] | None:
    """The setting of each field whose value comes from one; None if messages name no flags."""
    text = os.environ.get(VARIABLE)
    origins: dict[str, str] | None = json.loads(text) if text else None
    return origins


def names_flags() -> bool:
    """Whether a command of ``stem`` runs, so that messages name flags."""
    return bool(os.environ.get(VARIABLE))


def origin(field: str) -> str:
    """The setting that gives a field its value, in words; empty if none does."""
    return (flags_in_use() or {}).get(field, "")


def option(field: str, flag: str = "") -> str:
    """Name of an option in a message.

    Args:
        field: name of the field or parameter in Python.
        flag: its flag; by default two dashes and the field with dashes for underscores.
    """
    return (flag or _flag(field)) if names_flags() else field


def subject(field: str, value: object = None) -> str:
    """Name of the option that a message complains about: of the setting, if its value is from one.

    Args:
        field: name of the field.
        value: the value, to be named too; None for the name alone.
    """
    found = origin(field)
    if value is None:
        return found or option(field)
    if not found:
        return setting(**{field: value})
    text = ",".join(value) if _is_list(value) else str(value)
    return f"{text!r} from {found}"


def contradiction(one: str, other: str) -> str:
    """The complaint about two options of which only one can be used."""
    return f"{subject(one)} and {subject(other)} contradict each other; use one of them"


def setting(**values: object) -> str:
    """Options with their values, as the reader of a message types them.

    ``setting(format="wav", depth="32f")`` is ``--format wav --bit-depth 32f`` or
    ``format='wav', depth='32f'``.
    """
    if names_flags():
        return " ".join(_words(field, value) for field, value in values.items())
    return ", ".join(f"{field}={_plain(value)!r}" for field, value in values.items())


def choices(values: Iterable[str]) -> str:
    """Values of an option in a message, quoted for a Python program."""
    return ", ".join(values if names_flags() else map(repr, values))


def convert_command(path: str, name: str = "NAME") -> str:
    """What converts a checkpoint of another program to a model."""
    call = f"model_zoo.importers.convert({path!r}, name={name!r})"
    return shell_or_python(f"stem models convert {quoted(path)} --name {quoted(name)}", call)


def use_command(model: str) -> str:
    """What separates a song with a model."""
    call = f"stemcli.separate(SONG, model={model!r})"
    return shell_or_python(f"stem separate SONG --model {model}", call)


def shell_or_python(command: str, call: str) -> str:
    """``command`` for a shell, or the call that does the same in Python."""
    return command if names_flags() else call


def _flag(field: str) -> str:
    return FLAGS.get(field, f"--{field.replace('_', '-')}")


def _words(field: str, value: object) -> str:
    if isinstance(value, str) and (field, value) in SWITCHES:
        return SWITCHES[field, value]
    if _is_list(value):
        parts = [",".join(value)] if field in LISTS else [*value]
        return " ".join(_words(field, part) for part in parts)
    text = str(value) if isinstance(value, Verbatim) else quoted(str(value))
    return f"{_flag(field)} {text}"


def _is_list(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
