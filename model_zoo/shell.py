"""Words of command lines: quoted for the shell of this system, and traces of quotes of another."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence

PLAIN_ON_WINDOWS = re.compile(r"[\w.:\\/+=-]+")
"""Words that neither cmd nor PowerShell changes or splits."""

CHANGED_BY_POWERSHELL = re.compile("[$`“”„]")
"""Characters with a meaning inside double quotes (about_Quoting_Rules of PowerShell)."""

SINGLE_QUOTES = (
    "the single quotes are a part of it, because cmd passes them on. Use double quotes, or none"
)
"""Advice for :func:`is_in_single_quotes`."""


def is_in_single_quotes(word: str) -> bool:
    """Whether ``word`` looks like one that was quoted in cmd as for other shells."""
    return os.name == "nt" and len(word) > 2 and word[0] == word[-1] == "'"


AFTER_NAME = re.compile(r"(?:--[A-Za-z_-]+=|-[A-Za-z](?='))?(.*)", re.DOTALL)
"""The value in ``--output=value`` and ``-o'value'``, or a whole argument."""


def misquoted(words: Sequence[str]) -> str:
    r"""Say which argument of a Windows command line has quotes that cmd does not take off.

    In ``"C:\My Music\" -o Stems`` the last backslash makes the quote a part of the argument, which
    then goes on to the end of the line; names of files have no double quotes on Windows. A file or
    folder that exists may have single quotes around its name.

    Returns:
        one sentence for the first of them; empty if there are none, and on other systems.
    """
    return next(_misquoted(words), "") if os.name == "nt" else ""


def _misquoted(words: Sequence[str]) -> Iterator[str]:
    values = [found[1] for word in words if (found := AFTER_NAME.fullmatch(word))]
    for value in values:
        path, quote, rest = value.partition('"')
        # The value of --set may have pairs of quotes: losses={"l1": 1}.
        if quote and ("=" not in path or rest.count('"') % 2 == 0):
            yield (
                f"The argument {value} holds a double quote, because a backslash before a quote"
                f" makes it a part of the argument. Leave out the backslash before the closing"
                f' quote: "{path}"'
            )
    for value in _in_single_quotes(values):
        yield f"Cannot use the argument {value}: {SINGLE_QUOTES}"


def _in_single_quotes(values: Sequence[str]) -> Iterator[str]:
    """Arguments in single quotes, also those that a space has split, as in ``'My Music'``."""
    start = None
    for at, value in enumerate(values):
        if os.path.exists(value):
            start = None
        elif is_in_single_quotes(value):
            yield value
        elif value[:1] == "'":
            start = at
        elif start is not None and value[-1:] == "'":
            yield " ".join(values[start : at + 1])


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
