"""Words of command lines: quoted for the shell of this system, and traces of quotes of another."""

from __future__ import annotations

import os
import re
import shlex

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
