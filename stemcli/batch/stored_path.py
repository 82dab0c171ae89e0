r"""Paths as a journal stores them: bytes below its folder, with forward slashes on every system.

Windows separates folders by ``\`` and understands ``/`` as well; on other systems a backslash is
an ordinary character of a name. So forward slashes are what every system reads in the same way.
Names that are not valid text keep their bytes (PEP 383).
"""

from __future__ import annotations

import os
from pathlib import PurePath, PurePosixPath, PureWindowsPath

LOCAL: type[PurePath] = PureWindowsPath if os.name == "nt" else PurePosixPath
"""How this system splits a path into its parts."""


class OutsideError(ValueError):
    """A stored path does not name a file below its folder."""


def to_bytes(text: str) -> bytes:
    """``text`` in the encoding of file names, or in UTF-8 where that lacks a character."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def to_text(value: bytes) -> str:
    """The reverse of :func:`to_bytes`; on Windows, names from elsewhere may not be UTF-8."""
    try:
        return os.fsdecode(value)
    except UnicodeDecodeError:
        return value.decode("utf-8", "surrogateescape")


def stored(path: PurePath | str) -> bytes:
    """A relative path of this system, with forward slashes."""
    plain = path if isinstance(path, PurePath) else LOCAL(path)
    return to_bytes(plain.as_posix())


def spelled(value: bytes) -> str:
    """The reverse of :func:`stored`."""
    return str(LOCAL(to_text(value)))


def below(value: bytes) -> PurePath:
    """A stored path of a file, relative to the folder of the journal.

    Raises:
        OutsideError: it is absolute, climbs out of the folder or names no file.
    """
    path = LOCAL(to_text(value))
    outside = path.is_absolute() or ".." in path.parts or not path.name or b"\0" in value
    if outside or (isinstance(path, PureWindowsPath) and _is_special_on_windows(path)):
        raise OutsideError(f"{str(path)!r} is not a path below its folder")
    return path


def has_backslashes() -> bool:
    """Whether a backslash separates folders here."""
    return LOCAL is PureWindowsPath


def _is_special_on_windows(path: PureWindowsPath) -> bool:
    """A drive, the root of one, a stream of a file (``a:b``), or dots hidden by spaces.

    Windows drops spaces and dots at the end of a name
    (https://learn.microsoft.com/windows/win32/fileio/naming-a-file, "Naming Conventions").
    """
    has_colon = any(":" in part for part in path.parts)
    return bool(path.anchor) or has_colon or any(not part.strip(". ") for part in path.parts)
