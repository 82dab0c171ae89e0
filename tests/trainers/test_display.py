"""What people and programs see of a run. Truth: lines by hand, and control codes of a terminal."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import suppress

import pytest
from rich.console import Console as Terminal

from stemcli.cli.console import Console, JsonConsole, PlainConsole
from stemcli.cli.live_console import LiveConsole
from stemcli.engine.events import Event
from tests.trainers.story import ADVERSARIAL, FINISHED, RECIPE, step, story, validated
from trainers.cli.display import Display, LiveDisplay, open_display
from trainers.loop.events import ExcerptRendered

UP, HIDE, SHOW = "\x1b[1A\x1b[2K", "\x1b[?25l", "\x1b[?25h"
SOUND = ExcerptRendered(40, "song", 8000, {}, {})

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


def tell(console: Console, *events: Event) -> None:
    with console, open_display(RECIPE, console, "songs") as display:
        for event in events:
            display.show(event)


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell(PlainConsole(), *story(), SOUND, FINISHED)
    assert capsys.readouterr().err.splitlines() == LINES


def test_programs_get_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    events = [*story(), SOUND, FINISHED]
    tell(JsonConsole(), *events)
    shown = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in shown] == [
        json.loads(json.dumps(event.to_dict())) for event in events
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Console(), *story(), FINISHED)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_facts_of_a_run_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    tell(PlainConsole(), ADVERSARIAL)
    assert capsys.readouterr().err.splitlines() == [
        "Recipe big: melroformer, 3.9 M parameters, 1.2 M in discriminators, on cuda:0, bf16",
        "Data: songs, 1 validation song",
        "Resuming after step 400 of 1,000",
    ]


def test_several_stems_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell(PlainConsole(), validated(20, 1.0, 4.0, best=False, best_mean=3.0))
    assert capsys.readouterr().err == "step 20: SDR vocals 1.00, bass 4.00, mean 2.50 dB\n"


def test_a_loss_that_begins_late_has_a_mean_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell(PlainConsole(), step(19), step(20, adversary=True))
    assert "  generator 3.0000  " in capsys.readouterr().err


def live(width: int = 80, height: int = 24) -> tuple[LiveConsole, io.StringIO]:
    screen = io.StringIO()
    terminal = Terminal(
        file=screen, width=width, height=height, force_terminal=True, color_system=None
    )
    return LiveConsole(terminal=terminal), screen


def test_a_terminal_gets_a_table_and_the_lines_that_stay() -> None:
    console, screen = live()
    tell(console, *story(), SOUND, FINISHED)
    shown = screen.getvalue()
    for line in (LINES[0], LINES[1], LINES[3], LINES[5], LINES[6]):
        assert f"{line}\n" in shown
    assert "  gradient 0.8000  " not in shown


def test_long_lines_are_folded_between_words() -> None:
    console, screen = live(40)
    tell(console, ADVERSARIAL)
    assert screen.getvalue().splitlines()[:3] == [
        "Recipe big: melroformer, 3.9 M ",
        "parameters, 1.2 M in discriminators, on ",
        "cuda:0, bf16",
    ]


def test_the_last_table_stays_and_the_cursor_comes_back() -> None:
    console, screen = live()
    tell(console, *story())
    last = screen.getvalue().rsplit(UP, 1)[1]
    assert last.startswith("step 40/1,000 ")
    assert last.endswith("20 % waiting for data\n" + SHOW)
    assert screen.getvalue().count(HIDE) == screen.getvalue().count(SHOW) == 1


def test_ctrl_c_gives_the_cursor_back() -> None:
    console, screen = live()
    with suppress(KeyboardInterrupt), console, open_display(RECIPE, console) as display:
        display.show(step(1))
        raise KeyboardInterrupt
    assert screen.getvalue().endswith(SHOW)


def test_an_error_before_the_first_step_moves_nothing() -> None:
    console, screen = live()
    tell(console)
    assert screen.getvalue() == ""


def test_a_narrower_terminal_has_folded_lines() -> None:
    """Drawn at 80, six lines are longer than 40 columns and none is longer than 80.

    They take a line more each, and going up to the first takes one step less than there are lines.
    """
    console, screen = live()
    with console, open_display(RECIPE, console) as display:
        for event in story():
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


def test_lines_have_no_spaces_at_their_ends() -> None:
    """A narrower terminal would fold them into lines of their own."""
    console, screen = live(120, 40)
    tell(console, *story())
    table = screen.getvalue().rsplit(UP, 1)[1].splitlines()[:-1]
    assert [line for line in table if line != line.rstrip()] == []


def test_warnings_stand_above_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes that are forked off meanwhile they go where they went before."""
    stderr, in_child = io.StringIO(), []
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(os, "register_at_fork", lambda **after: in_child.extend(after.values()))
    console, screen = live()
    with console, open_display(RECIPE, console) as display:
        display.show(step(1))
        print("UserWarning: slow", file=sys.stderr)
        assert "UserWarning: slow\n" in screen.getvalue()
        assert stderr.getvalue() == ""
        (leave_alone,) = in_child
        leave_alone()
        assert sys.stderr is stderr


def test_processes_forked_off_later_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    in_child = []
    monkeypatch.setattr(os, "register_at_fork", lambda **after: in_child.extend(after.values()))
    console, _ = live()
    with console, open_display(RECIPE, console) as display:
        display.show(step(1))
    other = io.StringIO()
    monkeypatch.setattr(sys, "stderr", other)
    in_child[0]()
    assert sys.stderr is other


def test_lines_are_for_all_but_terminals() -> None:
    assert type(open_display(RECIPE, PlainConsole())) is Display
    assert type(open_display(RECIPE, live()[0])) is LiveDisplay
