"""Names of options in messages: flags on the command line, fields in a Python program.

Every message is written once. ``option("depth")`` is ``--bit-depth`` while a command of ``stem``
runs, in this process or in one that it started, and ``depth`` in every other program.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

VARIABLE = "_STEM_NAMES_FLAGS"
"""Environment variable that is set while a command runs, because child processes inherit it."""

FLAGS = {"depth": "--bit-depth"}
"""Flags that differ from their field by more than dashes."""

SWITCHES = {("existing", "skip"): "--skip-existing", ("existing", "overwrite"): "--overwrite"}
"""Flags that stand for one value of a field."""

LISTS = ("stems",)
"""Fields whose flag takes names separated by commas; other flags are repeated."""


PLAIN_ON_WINDOWS = re.compile(r"[\w.:\\/+=-]+")
"""Words that neither cmd nor PowerShell changes or splits."""


CHANGED_BY_POWERSHELL = re.compile("[$`“”„]")
"""Characters with a meaning inside double quotes (about_Quoting_Rules of PowerShell)."""


SINGLE_QUOTES = (
    "the single quotes are a part of it, because cmd passes them on. Use double quotes, or none"
)
"""Advice for :func:`is_in_single_quotes`."""


class Verbatim(str):
    """A value that stands in a message as it is, such as ``NAME`` or ``12.30``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@contextmanager
def command_line() -> Iterator[None]:
    """Name options by their flags, in all threads and in processes that are started inside."""
    before = os.environ.get(VARIABLE)
    use_flags()
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def use_flags(flags: bool = True) -> None:
    """Name options by their flags until this process ends, or by their fields."""
    os.environ[VARIABLE] = "1" if flags else ""


def names_flags() -> bool:
    """Whether a command of ``stem`` runs, so that messages name flags."""
    return bool(os.environ.get(VARIABLE))


def option(field: str, flag: str = "") -> str:
    """Name of an option in a message.

    Args:
        field: name of the field or parameter in Python.
        flag: its flag; by default two dashes and the field with dashes for underscores.
    """
    return (flag or _flag(field)) if names_flags() else field


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
    if not isinstance(value, str) and isinstance(value, Sequence):
        parts = [",".join(value)] if field in LISTS else [*value]
        return " ".join(_words(field, part) for part in parts)
    text = str(value) if isinstance(value, Verbatim) else quoted(str(value))
    return f"{_flag(field)} {text}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def is_in_single_quotes(word: str) -> bool:
    """Whether ``word`` looks like one that was quoted in cmd as for other shells."""
    return len(word) > 2 and word[0] == word[-1] == "'"


def quoted(text: str | os.PathLike[str]) -> str:
    """``text`` as one word of a command line: for a Unix shell, or for cmd and PowerShell.

    Windows allows no double quotes in names of files. Backslashes before the closing quote are
    doubled, because programs there would take the quote for a part of the word. PowerShell, which
    Windows opens by default, changes ``$`` and a few more inside double quotes, so such words get
    its single quotes, which cmd does not know.
    """
    word = os.fspath(text)
    if os.name != "nt":
        return shlex.quote(word)
    if PLAIN_ON_WINDOWS.fullmatch(word):
        return word
    if CHANGED_BY_POWERSHELL.search(word):
        return "'" + re.sub("(['‘’‚‛])", r"\1\1", word) + "'"
    return f'"{word}{word[len(word.rstrip(chr(92))) :]}"'
