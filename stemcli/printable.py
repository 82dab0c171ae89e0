"""Text of others where it is shown, written or made a name of a file.

Names of songs, models and stems may hold anything. In a terminal control codes move the cursor and
marks of direction turn a line around; in a spreadsheet a cell that begins with an equals sign is a
formula. Letters of all languages, and emoji that are joined of several, stay as they are.
"""

from __future__ import annotations

import re
import unicodedata

UNKNOWN = "\N{REPLACEMENT CHARACTER}"

KEPT = frozenset(
    "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}\N{SOFT HYPHEN}"
    # Arabic signs that are seen, though Unicode counts them as marks of format, ...
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u0890\u0891\u08e2"
    # ... and the letters inside the flags of England, Scotland and Wales.
    + "".join(map(chr, range(0xE0020, 0xE0080)))
)
"""Characters of the category Cf that writing and emoji need; the others are never seen."""

CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what is no sign: control, format, surrogate, line and paragraph."""

FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
"""With which a cell begins that a spreadsheet takes for a formula
(https://owasp.org/www-community/attacks/CSV_Injection)."""

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def printable(text: str) -> str:
    """``text`` as one line that upsets no terminal: no control codes and undecodable bytes."""
    return "".join(UNKNOWN if _is_control(character) else character for character in text)


def printable_lines(text: str) -> str:
    """The same for several lines, such as a traceback."""
    return "\n".join(map(printable, text.expandtabs().split("\n")))


def name_part(text: str) -> str:
    """``text`` as a part of the name of a file: no control codes and no way into a folder."""
    return printable(text).replace(UNKNOWN, "_").replace("/", "_").replace("\\", "_")


def cell(text: str) -> str:
    """``text`` as a cell of a CSV file: no formula, and no control codes but line breaks.

    A quotation mark before what would be a formula makes it a text; numbers stay as they are.
    """
    written = text.encode("utf-8", "backslashreplace").decode()
    shown = "\n".join(map(printable, written.lstrip("\t\r").split("\n")))
    is_formula = FORMULA.match(text) and not NUMBER.fullmatch(text)
    return f"'{shown}" if is_formula else shown


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in CONTROL and character not in KEPT
