"""Tables that fit into the terminal and break no word that could be left whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import click
from rich.cells import cell_len
from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text

UNFOLDED_WIDTH = 10_000  # columns where nothing is a terminal: no cell is ever cut
GAP = 3  # columns between two of a table
LONGEST_WORD = 30
"""Letters of a word that stays whole: class names have fewer, checksums and addresses more."""
NARROWEST = 16  # columns into which a longer text may be folded

BRANCH = re.compile(r"(?P<above>[│ ]*)(?P<branch>├─ |└─ )")

Rows = Sequence[Sequence[str]]


def print_table(columns: Sequence[str], rows: Rows, stream: TextIO) -> None:
    """Print a table.

    A column named with a leading ``>`` is set flush right, with ``=`` it is never folded. In a
    terminal long cells of others are folded between words; where it is too narrow for that, a row
    is its first cell with the others below. Elsewhere every row is one line.
    """
    terminal = terminal_of(stream)
    widths = fitted(columns, rows, terminal.width)
    lines = _lines(_table(columns, rows, widths), terminal) if widths else None
    click.echo("\n".join(lines or stacked(columns, rows, terminal)), file=stream)


def terminal_of(stream: TextIO) -> Terminal:
    """That of a stream; where that is no terminal, one without an edge."""
    width = None if stream.isatty() else UNFOLDED_WIDTH
    return Terminal(file=stream, width=width, highlight=False, markup=False, emoji=False)


def fitted(columns: Sequence[str], rows: Rows, width: int) -> list[int] | None:
    """How wide each column is for all of them to fit; None where words would have to break."""
    cells = [*zip(map(_name, columns), *rows, strict=True)]
    widths = [max(map(cell_len, column)) for column in cells]
    least = [
        whole if column.startswith("=") else max(min(whole, NARROWEST), *map(_longest_word, texts))
        for column, texts, whole in zip(columns, cells, widths, strict=True)
    ]
    room = width - GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    return _shrunk(widths, least, room)


def _shrunk(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """The widest columns give way first, none below its least; ``least`` itself has room."""
    low, high = 0, max(widths)
    while low < high:
        most = (low + high + 1) // 2
        if sum(_limited(widths, least, most)) <= room:
            low = most
        else:
            high = most - 1
    return _limited(widths, least, low)


def _limited(widths: Sequence[int], least: Sequence[int], most: int) -> list[int]:
    return [max(few, min(width, most)) for width, few in zip(widths, least, strict=True)]


def stacked(columns: Sequence[str], rows: Rows, terminal: Terminal) -> Iterator[str]:
    """Every row as its first cell, and below it what the other columns say."""
    for first, *others in rows:
        yield from _wrapped(first, "", terminal)
        pairs = zip(map(_name, columns[1:]), others, strict=True)
        said = [f"{name}: {cell}" if name else cell for name, cell in pairs if cell]
        if said:
            yield from _wrapped("; ".join(said), _indent(first), terminal)


def _indent(first: str) -> str:
    """What stands before the lines below a cell: the lines of a tree go on."""
    found = BRANCH.match(first)
    trunk = found["above"] + ("│  " if found["branch"] == "├─ " else "   ") if found else ""
    return f"{trunk}   "


def _wrapped(text: str, indent: str, terminal: Terminal) -> Iterator[str]:
    room = max(1, terminal.width - cell_len(indent))
    for line in Text(text).wrap(terminal, room, overflow="fold"):
        yield f"{indent}{line.plain}".rstrip()


def _table(columns: Sequence[str], rows: Rows, widths: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.show_header = any(columns)
    for column, width in zip(columns, widths, strict=True):
        justify: Any = "right" if column.startswith(">") else "left"
        table.add_column(_name(column), justify=justify, overflow="fold", width=width)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _lines(table: Table, terminal: Terminal) -> list[str]:
    with terminal.capture() as captured:
        terminal.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _name(column: str) -> str:
    return column.lstrip(">=")


def _longest_word(text: str) -> int:
    return max((min(cell_len(word), LONGEST_WORD) for word in text.split()), default=0)
