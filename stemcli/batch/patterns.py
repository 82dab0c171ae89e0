"""Patterns that include and exclude songs of a library."""

from __future__ import annotations

import os
import re
from pathlib import PurePath

from stemcli.remote_path import folded

WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
"""Wildcards, and the regular expressions of what they match."""


def matches(pattern: str, path: PurePath) -> bool:
    """Whether ``pattern`` matches a relative ``path``.

    A pattern without a slash is matched with the name of the file and of each of its folders; a
    pattern with a slash is matched with the whole path. Case and Unicode composition are ignored.
    On Windows a backslash is a slash.
    """
    pattern = pattern.replace("\\", "/") if os.name == "nt" else pattern
    rule = _to_regex(pattern)
    candidates = [path.as_posix()] if "/" in pattern else path.parts
    return any(rule.fullmatch(folded(candidate)) for candidate in candidates)


def _to_regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", folded(pattern))
    return re.compile("".join(WILDCARDS.get(part, re.escape(part)) for part in parts), re.DOTALL)
