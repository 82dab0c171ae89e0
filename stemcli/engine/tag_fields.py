"""Fields of file name templates that come from the tags of a song, safe on every file system.

Fallbacks for missing tags and the replacement of characters follow beets
(https://beets.readthedocs.io/en/stable/reference/pathformat.html) and Picard.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_zoo.errors import MissingExtraError, StorageError
from stemcli.audio.tags import song_tags
from stemcli.printable import LONGEST_NAME, byte_length, cut, portable, portable_name

TAG_FIELDS = ("artist", "album", "title", "number", "year")

_NUMBER = re.compile(r"(?<!\d)\d{1,4}(?!\d)")
# A date may be 1998, 1998-05-12, 12.05.1998 or 19980512.
_YEAR = re.compile(r"(?<!\d)(\d{4})(?:\d{4})?(?!\d)")


def tag_values(song: Path) -> dict[str, str]:
    """Return the values of :data:`TAG_FIELDS` for a song.

    Missing tags, and tags that cannot be read, give the file name without its extension, ``Unknown
    artist``, ``Unknown album``, ``00`` and ``0000``.

    Args:
        song: a local file or a URL.

    Raises:
        StorageError: the URL cannot be reached.
        MissingExtraError: a package that the URL needs is not installed.
    """
    texts = _texts(song)
    artists = texts.get("artist") or texts.get("albumartist", [])
    return {
        "artist": _joined(artists) or "Unknown artist",
        "album": _joined(texts.get("album", [])) or "Unknown album",
        "title": _joined(texts.get("title", [])) or portable(song.stem) or "_",
        "number": _number(texts.get("tracknumber", [])),
        "year": _year(texts.get("date", [])),
    }


def used_tag_fields(template: str) -> list[str]:
    """The fields of a template that need tags."""
    fields = {field for _, field, _, _ in string.Formatter().parse(template)}
    return [name for name in TAG_FIELDS if name in fields]


def portable_part(template: str, values: Mapping[str, str]) -> str:
    """Fill in one part of a path, and return a name that is valid on every file system.

    If the name is too long, values of tags are shortened, the longest first; other fields and the
    text of the template stay complete.

    Args:
        template: a file or folder name with fields, at least one of them from tags.
        values: the values of all fields.
    """
    values = dict(values)
    used = used_tag_fields(template)
    while True:
        name = portable_name(template.format_map(values))
        excess = byte_length(name) - LONGEST_NAME
        longest = max(used, key=lambda field: byte_length(values[field]))
        size = byte_length(values[longest])
        if excess <= 0 or size == 0:
            return name
        values[longest] = cut(values[longest], size - max(1, min(excess, size // 2)))


def _texts(song: Path) -> Mapping[str, Sequence[str]]:
    try:
        return song_tags(song).texts
    except (StorageError, MissingExtraError):
        raise
    except Exception:  # damaged tags raise anything; a missing file is reported when it is opened
        return {}


def _joined(texts: Sequence[str]) -> str:
    return ", ".join(filter(None, map(portable, texts)))


def _number(texts: Sequence[str]) -> str:
    """``03`` from ``3``, ``3/12`` or ``A3``; ``00`` if there is no number."""
    found = next(filter(None, map(_NUMBER.search, texts)), None)
    return f"{int(found[0]) if found else 0:02}"


def _year(texts: Sequence[str]) -> str:
    """The first four-digit year of a date; ``0000`` if there is none."""
    found = next(filter(None, map(_YEAR.search, texts)), None)
    return f"{int(found[1]) if found else 0:04}"
