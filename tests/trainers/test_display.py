"""Output of a run on consoles: expected lines written by hand, and terminal control codes."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import suppress

import pytest
from rich.console import Console as Terminal

from stemcli.cli.console import Console, JsonConsole, PlainConsole
from stemcli.cli.json_output import SCHEMA
from stemcli.cli.live_console import LiveConsole
from stemcli.engine.events import Event
from tests.trainers.example_run import (
    ADVERSARIAL,
    FINISHED,
    RECIPE,
    example_events,
    step,
    validated,
)
from trainers.cli import display
from trainers.cli.display import Display, LiveDisplay, open_display
from trainers.loop.events import ExcerptRendered, StageProgress

UP, HIDE, SHOW = "\x1b[1A\x1b[2K", "\x1b[?25l", "\x1b[?25h"
EXCERPT = ExcerptRendered(40, "song", 8000, {}, {})

LINES = [
    "Recipe tiny: melroformer, 3.9 M parameters, on cpu, bf16",
    "Data: songs, 2 validation songs",
    "step 20/1000  epoch 0.2  waveform_l1 0.0200  multi_resolution_stft 1.0000  total 2.0000  "
    "gradient 0.8000  rate 0.001  0.50 s a step, 20 % waiting for data  8:10 left",
    "step 20: SDR vocals 1.00 dB, best so far",
    "step 40/1000  epoch 0.4  waveform_l1 0.0100  multi_resolution_stft 1.1000  total 2.0000  "
    "gradient 0.4000  rate 0.001  0.50 s a step, 20 % waiting for data  8:00 left",
    "step 40: SDR vocals 1.50 dB (+0.50), best so far",
    "Finished after 1,000 steps: all steps are done; best SDR 3.50 dB",
]


def show_events(console: Console, *events: Event) -> None:
    with console, open_display(RECIPE, console, "songs") as display:
        for event in events:
            display.show(event)


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(PlainConsole(), *example_events(), EXCERPT, FINISHED)
    assert capsys.readouterr().err.splitlines() == LINES


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(display, "time", clock)
    return clock


def test_long_stages_have_lines(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    """Every ten seconds one about progress, and at the end how long the stage took."""
    console = PlainConsole()
    stages: list[tuple[float, Event]] = [
        (0, StageProgress(20, "validating", 0, 3)),
        (6, StageProgress(20, "validating", 1, 3)),
        (12, StageProgress(20, "validating", 2, 3)),
        (18, StageProgress(20, "validating", 3, 3)),
        (18, validated(20, 1.0, best=True, best_mean=1.0)),
        (18, StageProgress(20, "rendering", 0, 2)),
        (27, StageProgress(20, "saving")),
        (40, StageProgress(20, "training")),
        (99, StageProgress(20, "saving")),
        (109, FINISHED),
    ]
    with console, open_display(RECIPE, console) as shown:
        for seconds, event in stages:
            clock.now = 100.0 + seconds
            shown.show(event)
    assert capsys.readouterr().err.splitlines() == [
        "step 20: validating song 3/3",
        "step 20: SDR vocals 1.00 dB, best so far",
        "step 20: validating took 0:18",
        "step 20: saving took 0:13",
        "step 20: saving took 0:10",
        LINES[-1],
    ]


def test_short_stages_have_no_lines(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    for stage in (
        StageProgress(20, "validating", 0, 1),
        StageProgress(20, "validating", 1, 1),
        StageProgress(20, "saving"),
        StageProgress(20, "training"),
    ):
        show_events(PlainConsole(), stage)
    assert capsys.readouterr().err == ""


def test_json_console_prints_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    events = [*example_events(), StageProgress(40, "rendering", 0, 1), EXCERPT, FINISHED]
    show_events(JsonConsole(), *events)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [
        json.loads(json.dumps({**event.to_dict(), "schema": SCHEMA})) for event in events
    ]


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(Console(), *example_events(), FINISHED)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_lines_of_a_resumed_run(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(PlainConsole(), ADVERSARIAL)
    assert capsys.readouterr().err.splitlines() == [
        "Recipe big: melroformer, 3.9 M parameters, 1.2 M in discriminators, on cuda:0, bf16",
        "Data: songs, 1 validation song",
        "Resuming after step 400 of 1,000",
    ]


def test_several_stems_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_events(PlainConsole(), validated(20, 1.0, 4.0, best=False, best_mean=3.0))
    assert capsys.readouterr().err == "step 20: SDR vocals 1.00, bass 4.00, mean 2.50 dB\n"


def test_a_loss_that_starts_late_has_its_own_mean(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_events(PlainConsole(), step(19), step(20, adversary=True))
    assert "  generator 3.0000  " in capsys.readouterr().err


def live_console(width: int = 80, height: int = 24) -> tuple[LiveConsole, io.StringIO]:
    screen = io.StringIO()
    terminal = Terminal(
        file=screen, width=width, height=height, force_terminal=True, color_system=None
    )
    return LiveConsole(terminal=terminal), screen


def test_a_terminal_shows_a_table_and_permanent_lines() -> None:
    console, screen = live_console()
    show_events(console, *example_events(), EXCERPT, FINISHED)
    output = screen.getvalue()
    for line in (LINES[0], LINES[1], LINES[3], LINES[5], LINES[6]):
        assert f"{line}\n" in output
    assert "  gradient 0.8000  " not in output


def test_long_lines_wrap_between_words() -> None:
    console, screen = live_console(40)
    show_events(console, ADVERSARIAL)
    assert screen.getvalue().splitlines()[:3] == [
        "Recipe big: melroformer, 3.9 M ",
        "parameters, 1.2 M in discriminators, on ",
        "cuda:0, bf16",
    ]


def test_the_last_table_stays_and_the_cursor_is_restored() -> None:
    console, screen = live_console()
    show_events(console, *example_events())
    last = screen.getvalue().rsplit(UP, 1)[1]
    assert last.startswith("step 40/1,000 ")
    assert last.endswith("20 % waiting for data\n" + SHOW)
    assert screen.getvalue().count(HIDE) == screen.getvalue().count(SHOW) == 1


def test_ctrl_c_restores_the_cursor() -> None:
    console, screen = live_console()
    with suppress(KeyboardInterrupt), console, open_display(RECIPE, console) as display:
        display.show(step(1))
        raise KeyboardInterrupt
    assert screen.getvalue().endswith(SHOW)


def test_nothing_is_drawn_before_the_first_event() -> None:
    console, screen = live_console()
    show_events(console)
    assert screen.getvalue() == ""


def test_a_narrower_terminal_wraps_lines() -> None:
    """At width 80, six lines are longer than 40 columns and none is longer than 80.

    At width 40 each of the six takes two rows; moving to the first row takes one step less.
    """
    console, screen = live_console()
    with console, open_display(RECIPE, console) as display:
        for event in example_events():
            display.show(event)
        assert isinstance(display, LiveDisplay)
        display._region.refresh()
        assert [width > 40 for width in display.widths].count(True) == 6
        assert max(display.widths) <= 78
        console.terminal.width = 40
        before = len(screen.getvalue())
        lines = len(display.widths)
        console.line("a line that stays")
        assert screen.getvalue()[before:].split("a line")[0].count(UP) == lines - 1 + 6


def test_lines_have_no_trailing_spaces() -> None:
    """A narrower terminal would wrap trailing spaces to a new line."""
    console, screen = live_console(120, 40)
    show_events(console, *example_events())
    table = screen.getvalue().rsplit(UP, 1)[1].splitlines()[:-1]
    assert [line for line in table if line != line.rstrip()] == []


def test_warnings_are_printed_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes forked meanwhile write to the original stderr."""
    stderr, in_child = io.StringIO(), []
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(os, "register_at_fork", lambda **after: in_child.extend(after.values()))
    console, screen = live_console()
    with console, open_display(RECIPE, console) as display:
        display.show(step(1))
        print("UserWarning: slow", file=sys.stderr)
        assert "UserWarning: slow\n" in screen.getvalue()
        assert stderr.getvalue() == ""
        (restore_stderr,) = in_child
        restore_stderr()
        assert sys.stderr is stderr


def test_processes_forked_later_keep_their_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    in_child = []
    monkeypatch.setattr(os, "register_at_fork", lambda **after: in_child.extend(after.values()))
    console, _ = live_console()
    with console, open_display(RECIPE, console) as display:
        display.show(step(1))
    other = io.StringIO()
    monkeypatch.setattr(sys, "stderr", other)
    in_child[0]()
    assert sys.stderr is other


def test_only_terminals_get_a_live_display() -> None:
    assert type(open_display(RECIPE, PlainConsole())) is Display
    assert type(open_display(RECIPE, live_console()[0])) is LiveDisplay
