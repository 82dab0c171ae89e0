"""The table of a run that goes on, laid out for the size of a terminal.

Losses stand beside the validation where both fit, else above it. Where the terminal is low, empty
lines go first and then the last losses but the total.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stemcli.cli.formatting import clock
from stemcli.printable import printable
from trainers.cli.dashboard import (
    RunStatistics,
    StemScore,
    change,
    number,
    percent,
    shown,
    sparkline,
)

GAP = 3  # columns between two tables side by side
WIDE = 60  # columns from which on there is room for everything beside the bar
SHORTEST = 6  # columns that a name gets in any case
BETWEEN = 2  # columns between two of a table
LEFT = 12  # columns of the time left
TIME = 22  # columns of where the time goes

MEAN = [("mean", 8), ("change", 6)]
GRADIENT = [("gradient", 8), ("change", 6), ("rate", 8)]
SCORE = [("last", 5), ("best", 5), ("change", 6), ("step", 6)]
"""Heads of columns and how wide they are at least, so that nothing moves."""

COLOURS = {"↓": "green", "↑": "red", "→": "dim"}

Row = tuple[RenderableType, ...]


@dataclass(frozen=True)
class Block:
    """Something drawn, and how many columns and lines it takes."""

    content: RenderableType
    width: int
    height: int


def draw(figures: RunStatistics, width: int, height: int, verbose: bool = False) -> RenderableType:
    """Everything, in at most ``width`` columns and, as far as possible, ``height`` lines."""
    names = shown(figures.losses, verbose)
    top, right = bar(figures, width), validation(figures, width)
    left, bottom = losses(figures, names, width), machine(figures, names, width)
    beside = right is not None and left.width + GAP + right.width <= width
    above = right.height if right and not beside else 0
    room = height - top.height - above - bottom.height
    if left.height > room:
        left = losses(figures, *_fold(names, room - 1, width))
    middle = [_side_by_side(left, right)] if right and beside else [left, right]
    blocks = [block for block in (top, *middle, bottom) if block]
    return Group(*_spaced(blocks, height))


def bar(figures: RunStatistics, width: int) -> Block:
    """One line: the step, a bar, and the time left."""
    line = Table.grid(padding=(0, BETWEEN, 0, 0), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    far = [percent(figures.step / figures.steps)]
    far += [f"epoch {figures.epoch:.1f}"] if figures.epoch is not None else []
    words = [*(far if width >= WIDE else []), f"{_left(figures):>{LEFT}}"]
    line.add_row(
        f"step {figures.step:,}/{figures.steps:,}",
        ProgressBar(total=figures.steps, completed=figures.step),
        Text("  ".join(words), style="cyan"),
    )
    return Block(line, width, 1)


def losses(figures: RunStatistics, names: list[str], width: int, folded: int = 0) -> Block:
    """Every loss: its mean and how that changed."""
    rows: list[Row] = []
    for name in names:
        trend = figures.losses[name]
        style = "bold" if name == "total" else ""
        rows.append((Text(printable(name), style), number(trend.mean), _coloured(trend.change)))
    more = f"and {folded} more" if folded else ""
    if more:
        rows.insert(len(rows) - 1, (Text(more, "dim"), "", ""))
    return _table("loss", [*names, more], MEAN, rows, width)


def validation(figures: RunStatistics, width: int) -> Block | None:
    """How well each stem is done; None before the first validation."""
    if figures.mean is None:
        return None
    standings = {**figures.stems} | ({"mean": figures.mean} if len(figures.stems) > 1 else {})
    rows = [_standing(name, standing) for name, standing in standings.items()]
    table = _table(" ".join(figures.score), [*standings], SCORE, rows, width)
    line = Text(sparkline(figures.history, table.width), "cyan")
    if len(figures.history) < 2:
        return table
    return Block(Group(table.content, line), table.width, table.height + 1)


def machine(figures: RunStatistics, names: list[str], width: int) -> Block:
    """Norms of gradients, learning rates, and where the time goes."""
    pace = figures.pace
    times = [f"{pace.seconds:.2f} s a step", f"{percent(pace.waiting)} waiting for data"]
    heads = [*names, *figures.gradients]
    needed = max(map(cell_len, heads)) + sum(least + BETWEEN for _, least in GRADIENT) + TIME
    if needed <= width:
        blank: Row = ("",) * (1 + len(GRADIENT))
        pairs = zip_longest(_gradients(figures), times)
        rows = [(*(row or blank), time or "") for row, time in pairs]
        return _table("", heads, GRADIENT, rows, width, last="time")
    table = _table("", heads, GRADIENT, _gradients(figures), width)
    line = Text(", ".join(times), no_wrap=True, overflow="ellipsis")
    return Block(Group(table.content, line), table.width, table.height + 1)


def _gradients(figures: RunStatistics) -> list[Row]:
    rows: list[Row] = []
    for name, trend in figures.gradients.items():
        rate = f"{figures.rates[name]:.3g}" if name in figures.rates else ""
        rows.append((name, number(trend.mean), _coloured(trend.change), rate))
    return rows


def _standing(name: str, standing: StemScore) -> Row:
    moved = standing.change or 0.0
    return (
        Text(printable(name), "bold" if name == "mean" else ""),
        f"{standing.last:.2f}",
        f"{standing.best:.2f}",
        Text(
            "" if standing.change is None else f"{moved:+.2f}",
            "green" if moved > 0 else "red" if moved < 0 else "dim",
        ),
        "before" if standing.best_step is None else str(standing.best_step),
    )


def _table(
    title: str,
    names: list[str],
    columns: list[tuple[str, int]],
    rows: list[Row],
    width: int,
    last: str = "",
) -> Block:
    """Names, which are cut where the terminal is too narrow, and columns of numbers."""
    numbers = sum(least + BETWEEN for _, least in columns)
    name = max(SHORTEST, min(max(map(cell_len, [*names, title])), width - numbers))
    table = Table(box=None, pad_edge=False, padding=(0, BETWEEN, 0, 0), header_style="bold")
    table.add_column(title, width=name, no_wrap=True, overflow="ellipsis")
    for head, least in columns:
        table.add_column(head, justify="right", min_width=least, no_wrap=True)
    if last:
        table.add_column(last, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    return Block(table, name + numbers, len(rows) + 1)


def _side_by_side(left: Block, right: Block) -> Block:
    both = Table.grid(padding=(0, GAP, 0, 0))
    both.add_row(left.content, right.content)
    return Block(both, left.width + GAP + right.width, max(left.height, right.height))


def _fold(names: list[str], room: int, width: int) -> tuple[list[str], int, int]:
    """As many losses as there is room for beside a line that counts the others; the last stays."""
    kept = [*names[:-1][: max(0, room - 2)], *names[-1:]]
    return kept, width, len(names) - len(kept)


def _spaced(blocks: list[Block], height: int) -> list[RenderableType]:
    """With an empty line between two where there is room."""
    contents: list[RenderableType] = [blocks[0].content]
    space = sum(block.height for block in blocks) + len(blocks) - 1 <= height
    for block in blocks[1:]:
        contents += ["", block.content] if space else [block.content]
    return contents


def _left(figures: RunStatistics) -> str:
    if figures.validating:
        return "validating"
    return "" if figures.left is None else f"{clock(figures.left)} left"


def _coloured(share: float | None) -> Text:
    text = change(share)
    return Text(text, COLOURS.get(text[:1], ""))
