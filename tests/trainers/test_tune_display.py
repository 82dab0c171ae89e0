"""The display of a search, on terminals of several widths."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console as Terminal

from stemcli.cli.console import PlainConsole
from stemcli.cli.live_console import LiveConsole
from tests.trainers.search.searches import OUTCOMES, built_in_space, events_of, plan_of, trials_of
from trainers.cli.tune_display import SearchDisplay, open_search_display, show_ranking
from trainers.search.trials import SearchStarted, TrialStarted

PLAN = plan_of(trials=4)
EVENTS = [*events_of(built_in_space("melroformer"), OUTCOMES)]
STARTED = SearchStarted(
    architecture="melroformer",
    recipe="tune-melroformer",
    varied=("lr", "remix"),
    trials=4,
    over=1,
    at_once=2,
    cores=1,
    gpus=0,
    steps=100,
    rungs=(20, 40),
    data=("6 songs to train on", "Stems: vocals"),
)


def test_lines_of_a_search(capsys: pytest.CaptureFixture[str]) -> None:
    with open_search_display(PLAN, PlainConsole()) as display:
        for event in (STARTED, *EVENTS):
            display.show(event)
        display.show(TrialStarted(2, 10, 40))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:6] == [
        "Search: melroformer around the recipe tune-melroformer, 4 trials, 1 of them over",
        "At once: 2 trials, 1 core each",
        "Data: 6 songs to train on",
        "Stems: vocals",
        "Varied: lr, remix",
        "Compared after 20, 40 of 100 steps, when bad trials are stopped",
    ]
    assert "Trial 1 after step 20: 1.00 dB SDR" in lines
    assert "Trial 2: stopped by ASHA after 40 steps, best 0.70 dB SDR" in lines
    assert "Trial 3: failed: A gradient is not finite" in lines
    assert lines[-1] == "Trial 2 resumes after step 40"


def test_the_ranking_has_a_row_for_each_trial(capsys: pytest.CaptureFixture[str]) -> None:
    display = SearchDisplay(PLAN, PlainConsole(), trials_of(iter(EVENTS)))
    show_ranking(display.trials, PlainConsole())
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:9] == [
        "rank",
        "trial",
        "SDR",
        "dB",
        "steps",
        "end",
        "size",
        "time",
        "hidden_channels",
    ]
    assert lines[1][:7] == ["1", "4", "5.25", "100", "done", "4", "k"]
    assert [line[1] for line in lines[1:5]] == ["4", "1", "2", "3"]
    assert lines[-1][:4] == ["trial", "3", "A", "gradient"]


def screens(width: int) -> Iterator[list[str]]:
    """The lines on the screen after every event."""
    terminal = Terminal(file=io.StringIO(), width=width, height=30, force_terminal=True)
    with open_search_display(PLAN, LiveConsole(terminal=terminal)) as display:
        for event in (STARTED, *EVENTS[:-1]):
            display.show(event)
            terminal_copy = Terminal(file=io.StringIO(), width=width, height=30, color_system=None)
            terminal_copy.print(display)
            yield terminal_copy.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [30, 60, 80, 150])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for screen in screens(width):
        assert max(map(len, screen)) <= width - 2


def test_the_table_shows_running_trials_and_the_best_so_far() -> None:
    screen = [*screens(150)][-1]
    assert screen[0].startswith("3/4 trials")
    assert "1 stopped  1 failed  best 5.25 dB (trial 4)" in screen[0]
    assert screen[1].split()[:4] == ["trial", "step", "SDR", "dB"]
    assert len(screen) == 3
    row = screen[2].split()
    assert row[:2] == ["4", "100/100"]
    assert "5.25" in row
    assert "▁▃▅▇█" in screen[2]  # 1.5, 2.5, 3.5, 4.5 and 5.25 dB in sevenths: 0, 1.9, 3.7, 5.6, 7


def test_a_resumed_search_knows_earlier_trials(capsys: pytest.CaptureFixture[str]) -> None:
    display = open_search_display(PLAN, PlainConsole(), trials_of(iter(EVENTS[:-1])))
    assert display.trials.over == 3
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_trials_show_the_metric_of_their_objective(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Codes are scored by signal-to-noise ratio (docs/losses.md), not by SDR."""
    plan = plan_of("vq_frame_transformer", trials=4)
    events = [*events_of(built_in_space("vq_frame_transformer"), OUTCOMES)]
    with open_search_display(plan, PlainConsole()) as display:
        for event in events:
            display.show(event)
        show_ranking(display.trials, PlainConsole())
    shown = "".join(capsys.readouterr())
    assert "Trial 1 after step 20: 1.00 dB SNR" in shown
    assert "SNR dB" in shown
    assert "SDR" not in shown
