"""The table of a run that moves in place, below the lines that stay."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from threading import Lock
from typing import TextIO

from rich.console import Console as Terminal
from rich.console import ConsoleOptions, ConsoleRenderable, RenderableType, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.text import Text

from stemcli.cli.live import LiveConsole
from stemcli.printable import printable
from trainers.cli.display import Display
from trainers.cli.screen import draw
from trainers.config import Recipe
from trainers.loop.events import StepDone

REFRESH = 4  # times per second
ROOM = 2  # columns for the ^C of a terminal, lest it begin a line that stays


class Drawn:
    """What is drawn anew now and then, and knows how wide the lines are that it drew last."""

    widths: Sequence[int] = ()
    """Columns of the lines that were drawn last."""

    _lock: Lock

    def content(self, width: int, height: int) -> RenderableType:
        """All that moves, in so many columns and, as far as possible, lines."""
        raise NotImplementedError

    def __rich_console__(self, terminal: Terminal, options: ConsoleOptions) -> RenderResult:
        width, height = terminal.width - ROOM, terminal.height - 1
        with self._lock:
            content = self.content(width, height)
            lines = terminal.render_lines(content, options.update_width(width), pad=False)
        lines = [_without_end(line) for line in lines]
        self.widths = [Segment.get_line_length(line) for line in lines]
        for line in lines:
            yield from line
            yield Segment.line()


class LiveDisplay(Drawn, Display):
    """Facts and validations as lines that stay; all numbers in a table below them."""

    def __init__(self, recipe: Recipe, console: LiveConsole, data: str = "") -> None:
        super().__init__(recipe, console, data)
        self._region = Region(console.terminal, self)

    def close(self) -> None:
        """Leave the last table on the screen."""
        self._region.stop()

    def say(self, text: str) -> None:
        """Above the table, folded between words."""
        self._region.console.print(Text(printable(text)))

    def on_step(self, event: StepDone) -> None:
        """Begin to draw; from then on the region looks by itself."""
        self._region.start(refresh=True)

    def content(self, width: int, height: int) -> RenderableType:
        """The table."""
        return draw(self.figures, width, height, self.console.verbose)


class Region(Live):
    """The last lines of a terminal, drawn anew now and then, whatever size it has meanwhile.

    rich goes up as many lines as it has drawn. A terminal that was made narrower has folded them
    into more, which would stay as rubbish. Warnings of libraries are printed above.
    """

    def __init__(self, terminal: Terminal, content: Drawn) -> None:
        super().__init__(
            content,
            console=terminal,
            refresh_per_second=REFRESH,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),
            vertical_overflow="crop",
        )
        self._content = content

    def start(self, refresh: bool = False) -> None:
        """Begin to draw."""
        if not self.is_started and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=functools.partial(self._leave_alone, sys.stderr))
        super().start(refresh)

    def _leave_alone(self, stderr: TextIO) -> None:
        """In a process that was forked off: text that went through here would wait for ever.

        The lock of the terminal may have been held while it was forked, by a thread that it lacks.
        """
        if self.is_started:
            sys.stderr = stderr

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Between going up and drawing: go up what was folded."""
        return super().process_renderables([self._unfold(), *renderables])

    def _unfold(self) -> Control:
        width = self.console.width
        folded = sum((columns - 1) // width for columns in self._content.widths if columns)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
        return Control(*up * folded)


def _without_end(line: list[Segment]) -> list[Segment]:
    """Without the spaces at its end, which a narrower terminal would fold too."""
    kept = [*line]
    while kept and not kept[-1].text.strip():
        kept.pop()
    return [*kept[:-1], Segment(kept[-1].text.rstrip(), kept[-1].style)] if kept else []
