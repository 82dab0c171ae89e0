"""Makes untrusted text safe to print, to write into CSV files and to use in file names.

Names of songs, models and stems may contain anything. In a terminal, control codes move the cursor
and direction marks reverse a line; in a spreadsheet, a cell that begins with an equals sign is a
formula. Letters of all languages and emoji made of several characters stay as they are.
"""

from __future__ import annotations

import os
import re
import unicodedata

from model_zoo.files import is_reserved_on_windows

UNKNOWN = "\N{REPLACEMENT CHARACTER}"

KEPT = frozenset(
    "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}\N{SOFT HYPHEN}"
    # Visible Arabic signs that Unicode counts as format characters, ...
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u0890\u0891\u08e2"
    # ... and the letters inside the flags of England, Scotland and Wales.
    + "".join(map(chr, range(0xE0020, 0xE0080)))
)
"""Characters of the category Cf that scripts and emoji need; all others are invisible."""

CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that are not printed: control, format, surrogate, line and paragraph."""

FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
"""The first character of a cell that a spreadsheet takes for a formula
(https://owasp.org/www-community/attacks/CSV_Injection)."""

ON_WINDOWS = os.name == "nt"

LONGEST_NAME = 255
"""Bytes of a file or folder name in UTF-8, as on ext4, XFS and Btrfs; others allow as many."""

LONGEST_SONG_NAME = LONGEST_NAME - 55
"""Bytes of the name of a downloaded song, so that the names of its stems are valid too."""

LONGEST_ENDING = 12
"""Bytes of an extension with its dot; a longer one is a part of the name."""

RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
"""Characters that Windows refuses in names."""

JOINERS = "\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-15}\N{VARIATION SELECTOR-16}"

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def printable(text: str) -> str:
    """``text`` as one line that is safe in a terminal, without control codes or invalid bytes."""
    return "".join(UNKNOWN if _is_control(character) else character for character in text)


def printable_lines(text: str) -> str:
    """Several lines, such as a traceback, each made safe as by :func:`printable`."""
    return "\n".join(map(printable, text.expandtabs().split("\n")))


def name_part(text: str) -> str:
    """``text`` as a part of a file name, without control codes and path separators."""
    return printable(text).replace(UNKNOWN, "_").replace("/", "_").replace("\\", "_")


def portable(text: str) -> str:
    """Return ``text`` composed (NFC), without characters that a file system may refuse."""
    shown = printable(unicodedata.normalize("NFC", text)).replace(UNKNOWN, "_")
    return RESERVED.sub("_", shown).strip()


def portable_name(name: str) -> str:
    """Replace a leading and a trailing dot, and reserved device names (``NUL.wav``)."""
    name = re.sub(r"^\.|\.$", "_", name.strip())
    return _without_device(name)


def byte_length(text: str) -> int:
    """Bytes of ``text`` in UTF-8; characters of invalid names count too."""
    return len(text.encode("utf-8", "surrogatepass"))


def cut(text: str, size: int) -> str:
    """Shorten ``text`` to at most ``size`` bytes, without splitting a character or its accents."""
    end = len(text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore"))
    while end and _continues(text[end - 1 : end + 1]):
        end -= 1
    return text[:end].rstrip()


def valid_name(part: str) -> str:
    """One part of a path as a valid name on this system; only Windows refuses more than ``/``.

    There, a colon would write into a stream of another file, and dots and spaces at the end would
    be dropped.
    """
    if not ON_WINDOWS:
        return part
    return _without_device(RESERVED.sub("_", part).rstrip(". ") or "_")


def copy_name(name: str) -> str:
    """The name of a copy of the file ``name``: valid on this system, and not too long."""
    return cut_name(valid_name(name_part(name)))


def cut_name(name: str) -> str:
    """Shorten a file name to :data:`LONGEST_SONG_NAME` bytes; its extension stays."""
    if byte_length(name) <= LONGEST_SONG_NAME:
        return name
    dot = name.rfind(".")
    ending = name[dot:] if dot > 0 and byte_length(name[dot:]) <= LONGEST_ENDING else ""
    return cut(name.removesuffix(ending), LONGEST_SONG_NAME - byte_length(ending)) + ending


def cell(text: str) -> str:
    """``text`` as a cell of a CSV file, without formulas and control codes other than line breaks.

    An apostrophe before a formula makes it text; numbers stay as they are.
    """
    written = text.encode("utf-8", "backslashreplace").decode()
    shown = "\n".join(map(printable, written.lstrip("\t\r").split("\n")))
    is_formula = FORMULA.match(text) and not NUMBER.fullmatch(text)
    return f"'{shown}" if is_formula else shown


def _without_device(name: str) -> str:
    """``name``, with an underscore if Windows reserves it: ``NUL_.wav``."""
    base, dot, rest = name.partition(".")
    return f"{base.rstrip()}_{dot}{rest}" if is_reserved_on_windows(name) else name


def _continues(pair: str) -> bool:
    """Whether the second character belongs to the first one; False if there is no second one."""
    if len(pair) < 2:
        return False
    joins = pair[0] == "\N{ZERO WIDTH JOINER}" or pair[1] in JOINERS
    return joins or bool(unicodedata.combining(pair[1]))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in CONTROL and character not in KEPT


def is_web(text: str) -> bool:
    """Whether ``text`` is a URL with the scheme http or https."""
    return text[:8].lower().startswith(("http://", "https://"))


def shown_url(url: str) -> str:
    """The URL for messages and reports; of a web address, without its query, which may hold a key.

    In other URLs a question mark is a part of the name.
    """
    if not is_web(url):
        return url
    address, mark, _ = url.partition("#")[0].partition("?")
    return f"{address}?..." if mark else address


def counted(count: int, noun: str) -> str:
    """``no songs``, ``1 song``, ``1,200 songs``."""
    return f"{count:,} {noun}" if count == 1 else f"{f'{count:,}' if count else 'no'} {noun}s"
