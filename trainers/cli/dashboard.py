"""The live view of a training run: the layout of its statistics in a terminal.

Losses are shown beside the validation scores if both fit, else above them. In a low terminal, empty
lines are left out first, then the last losses before the total.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence

from rich.columns import Columns
from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stemcli.cli.formatting import clock
from stemcli.printable import printable
from trainers.cli.run_statistics import RunStatistics, StemScore
from trainers.loop.events import Stage, StageProgress

BLOCKS = "▁▂▃▄▅▆▇█"
MOST_SHOWN = 0.99  # larger changes are shown as ">99 %"

GAP = 3  # columns between two tables side by side
BETWEEN = 2  # spaces between two columns of a table
WIDE = 60  # columns from which everything fits beside the bar
SHORTEST = 6  # minimum columns of a name
LEFT = 12  # columns of the time left
SPARKS = 36  # validations in the curve: the minimum width of the table above it

MEAN = {"mean": 8, "change": 6}
GRADIENT = {"gradient": 8, "change": 6, "rate": 8}
SCORE = {"last": 5, "best": 5, "change": 6, "step": 6}
"""Titles of columns and their minimum widths, so that nothing moves."""

COLORS = {"↓": "green", "↑": "red", "→": "dim"}

Row = tuple[str | Text, ...]


def shown(names: Iterable[str], verbose: bool) -> list[str]:
    """Names of losses, the total last; losses of single stems only if ``verbose``."""
    kept = [name for name in names if verbose or "/" not in name]
    return sorted(kept, key=lambda name: name == "total")


def number(value: float) -> str:
    """A loss or norm in at most eight characters: ``0.0456``, ``12.34``, ``1.2e-05``."""
    size = abs(value)
    if size != 0 and (size < 0.001 or size >= 10_000):
        return f"{value:.1e}"
    return f"{value:.4f}" if size < 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """``12 %``."""
    return f"{100 * share:.0f} %"


def change(share: float | None) -> str:
    """``↓ 3 %``; empty if unknown."""
    if share is None or math.isnan(share):
        return ""
    moved = min(abs(share), MOST_SHOWN)
    arrow = "→" if round(100 * moved) == 0 else "↑" if share > 0 else "↓"
    return f"{arrow}{'>' if abs(share) > MOST_SHOWN else ' '}{percent(moved)}"


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw the last ``width`` values as blocks between their lowest and highest."""
    recent = [value for value in values if math.isfinite(value)][-width:]
    if not recent:
        return ""
    low, span = min(recent), max(recent) - min(recent)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round((value - low) / span * top) if span else 0] for value in recent)


def draw(figures: RunStatistics, width: int, height: int, verbose: bool = False) -> RenderableType:
    """Draw everything in at most ``width`` columns and, as far as possible, ``height`` lines.

    Before the first step there is only the bar.
    """
    if not figures.losses:
        return bar(figures, width)
    names = shown(figures.losses, verbose)
    ruler = Terminal(width=width, file=io.StringIO())
    excess = 0
    for space in (1, 0):
        content = layout(figures, names, width, space)
        excess = len(ruler.render_lines(content, pad=False)) - height
        if excess <= 0:
            return content
    folded = min(excess + 1, len(names) - 1)  # one line counts the losses left out
    return layout(figures, names, width, 0, max(0, folded))


def layout(
    figures: RunStatistics, names: list[str], width: int, space: int, folded: int = 0
) -> RenderableType:
    """Bar, losses, validation and gradients.

    Args:
        figures: statistics of the run.
        names: names of the losses, the total last.
        width: columns of the terminal.
        space: empty lines between two parts.
        folded: number of losses before the total to leave out; one line counts them.
    """
    longest = max((len(printable(name)) for name in names), default=0)
    tables = [losses(figures, names, longest, folded), *validation(figures, width)]
    middle = Columns(tables, padding=(space, GAP))
    gap = [""] * space
    return Group(bar(figures, width), *gap, middle, *gap, gradients(figures, longest))


def bar(figures: RunStatistics, width: int) -> RenderableType:
    """One line: the step, a bar, and the time left; between two steps, the stage and its bar."""
    line = Table.grid(padding=(0, BETWEEN, 0, 0), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True, justify="right")
    far = [percent(figures.step / figures.steps)]
    far += [f"epoch {figures.epoch:.1f}"] if figures.epoch is not None else []
    words = "  ".join([*(far if width >= WIDE else []), f"{_left(figures):>{LEFT}}"])
    progress = ProgressBar(total=figures.steps, completed=figures.step)
    stage = figures.stage
    if stage and stage.total:
        progress = ProgressBar(stage.total, stage.done, complete_style="cyan")
    elif stage and stage.stage == "saving":
        progress = ProgressBar(pulse=True)
    if stage and stage.total and width >= WIDE:  # the bar keeps its width
        words = f"{stage_words(stage):>{len(words)}}"
    line.add_row(f"step {figures.step:,}/{figures.steps:,}", progress, Text(words, style="cyan"))
    return line


STAGES: dict[Stage, str] = {
    "training": "training",
    "validating": "validating",
    "rendering": "excerpts",
    "saving": "saving",
}
"""Name of each stage, at most as long as the time left."""

PARTS: dict[Stage, str] = {"validating": "validating song", "rendering": "writing excerpt"}
"""Name of the part of a stage that is being worked on."""


def stage_words(stage: StageProgress) -> str:
    """``validating song 2/8``, ``writing excerpt 1/2`` or ``saving``."""
    if not stage.total:
        return STAGES[stage.stage]
    return f"{PARTS[stage.stage]} {min(stage.done + 1, stage.total)}/{stage.total}"


def losses(figures: RunStatistics, names: list[str], longest: int, folded: int) -> RenderableType:
    """Table of the losses: mean and change."""
    rows: list[Row] = []
    for name in [*names[: len(names) - 1 - folded], *names[-1:]]:
        trend = figures.losses[name]
        style = "bold" if name == "total" else ""
        rows.append((Text(printable(name), style), number(trend.mean), _colored(trend.change)))
    if folded:
        rows.insert(len(rows) - 1, (Text(f"and {folded} more", "dim"), "", ""))
    return _table("loss".ljust(longest), MEAN, rows)


def validation(figures: RunStatistics, width: int) -> list[RenderableType]:
    """Table of the scores of each stem; empty before the first validation."""
    if figures.mean is None:
        return []
    scores = {**figures.stems} | ({"mean": figures.mean} if len(figures.stems) > 1 else {})
    rows = [_score_row(name, score) for name, score in scores.items()]
    table = _table(" ".join(figures.score), SCORE, rows)
    curve = Text(sparkline(figures.history, min(SPARKS, width)), "cyan")
    return [Group(table, curve) if len(figures.history) > 1 else table]


def gradients(figures: RunStatistics, longest: int) -> RenderableType:
    """Table of gradient norms and learning rates, and the time per step."""
    rows: list[Row] = []
    for name, trend in figures.gradients.items():
        rate = f"{figures.rates[name]:.3g}" if name in figures.rates else ""
        rows.append((name, number(trend.mean), _colored(trend.change), rate))
    pace = figures.pace
    time = f"{pace.seconds:.2f} s a step, {percent(pace.waiting)} waiting for data"
    line = Text(time, no_wrap=True, overflow="ellipsis")
    return Columns([_table(" " * longest, GRADIENT, rows), line], padding=(0, GAP))


def _score_row(name: str, score: StemScore) -> Row:
    moved = score.change or 0.0
    return (
        Text(printable(name), "bold" if name == "mean" else ""),
        f"{score.last:.2f}",
        f"{score.best:.2f}",
        Text(
            "" if score.change is None else f"{moved:+.2f}",
            "green" if moved > 0 else "red" if moved < 0 else "dim",
        ),
        "before" if score.best_step is None else str(score.best_step),
    )


def _table(title: str, columns: dict[str, int], rows: list[Row]) -> Table:
    """Table of numbers beside names, which are cut if the terminal is too narrow."""
    table = Table(box=None, pad_edge=False, padding=(0, BETWEEN, 0, 0), header_style="bold")
    table.add_column(Text(title, no_wrap=True, overflow="crop"), min_width=SHORTEST)
    for head, least in columns.items():
        table.add_column(head, justify="right", min_width=least, no_wrap=True)
    for name, *numbers in rows:
        table.add_row(Text.assemble(name, no_wrap=True, overflow="ellipsis"), *numbers)
    return table


def _left(figures: RunStatistics) -> str:
    if figures.stage:
        return STAGES[figures.stage.stage]
    return "" if figures.left is None else f"{clock(figures.left)} left"


def _colored(share: float | None) -> Text:
    text = change(share)
    return Text(text, COLORS.get(text[:1], ""))
