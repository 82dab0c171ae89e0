"""The table of a run. Truth: screens drawn by hand from the numbers of the story."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console as Terminal

from tests.trainers.story import RECIPE, STARTED, step, story, validated
from trainers.cli.dashboard import RunStatistics, draw

STEMS = ("vocals", "drums", "bass", "other", "guitar", "piano")

BESIDE = """\
step 40/1,000  ━                                  4 %  epoch 0.4     8:00 left

loss                       mean  change   SDR dB   last   best  change    step
waveform_l1              0.0100  ↓ 50 %   vocals   1.50   1.50   +0.50      40
multi_resolution_stft    1.1000  ↑ 10 %   ▁█
total                    2.0000   → 0 %

                       gradient  change      rate
model                    0.4000  ↓ 50 %     0.001
0.50 s a step, 20 % waiting for data
"""

WIDE = """\
step 40/1,000  ━╸                                           4 %  epoch 0.4     8:00 left

loss                       mean  change   SDR dB   last   best  change    step
waveform_l1              0.0100  ↓ 50 %   vocals   1.50   1.50   +0.50      40
multi_resolution_stft    1.1000  ↑ 10 %   ▁█
total                    2.0000   → 0 %

                       gradient  change      rate   0.50 s a step, 20 % waiting for data
model                    0.4000  ↓ 50 %     0.001
"""

ABOVE = """\
step 40/1,000  ╸                 8:00 left

loss                       mean  change
waveform_l1              0.0100  ↓ 50 %
multi_resolution_stft    1.1000  ↑ 10 %
total                    2.0000   → 0 %

SDR dB   last   best  change    step
vocals   1.50   1.50   +0.50      40
▁█

                gradient  change      rate
model             0.4000  ↓ 50 %     0.001
0.50 s a step, 20 % waiting for data
"""

LOW = """\
step 40/1,000  ━                                  4 %  epoch 0.4     8:00 left
loss                       mean  change   SDR dB   last   best  change    step
waveform_l1              0.0100  ↓ 50 %   vocals   1.50   1.50   +0.50      40
multi_resolution_stft    1.1000  ↑ 10 %   ▁█
and 3 more
total                    2.0000   → 0 %
                       gradient  change      rate
model                    0.4000  ↓ 50 %     0.001
discriminator             12.50   → 0 %    0.0002
0.50 s a step, 20 % waiting for data
"""


def figures(adversary: bool = False) -> RunStatistics:
    told = RunStatistics(RECIPE)
    for event in story(adversary):
        told.note(event)
    return told


def screen(told: RunStatistics, width: int, height: int, verbose: bool = False) -> str:
    out = io.StringIO()
    terminal = Terminal(file=out, width=width, height=height, color_system=None)
    terminal.print(draw(told, width, height, verbose))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


@pytest.mark.parametrize(
    ("adversary", "width", "height", "golden"),
    [
        (False, 78, 23, BESIDE),
        (False, 88, 23, WIDE),
        (False, 42, 23, ABOVE),
        (True, 78, 10, LOW),
    ],
    ids=["beside", "wide", "above", "low"],
)
def test_screens(adversary: bool, width: int, height: int, golden: str) -> None:
    assert screen(figures(adversary), width, height) == golden


def test_empty_lines_need_room() -> None:
    """Ten lines hold the tables with both empty ones; nine do not."""
    lines = BESIDE.splitlines()
    assert screen(figures(), 78, 10) == BESIDE
    assert screen(figures(), 78, 9).splitlines() == [line for line in lines if line]


def test_before_the_first_validation() -> None:
    told = RunStatistics(RECIPE)
    for event in (STARTED, step(1)):
        told.note(event)
    shown = screen(told, 78, 23)
    assert "SDR" not in shown
    assert "16:39:00 left" in shown  # 999 steps of a minute
    assert "waveform_l1              0.0200\n" in shown


def test_the_bar_says_that_a_validation_goes_on() -> None:
    told = RunStatistics(RECIPE)
    for event in (STARTED, step(20)):
        told.note(event)
    assert screen(told, 78, 23).splitlines()[0].endswith("epoch 0.2    validating")


def test_the_bar_is_as_full_as_the_run() -> None:
    """Half of 1000 steps fill half of the columns that the words leave."""
    told = RunStatistics(RECIPE)
    for event in (STARTED, step(500)):
        told.note(event)
    line = screen(told, 78, 23).splitlines()[0]
    whole = 78 - cell_len("step 500/1,000") - cell_len("50 %  epoch 5.0              ") + 1 - 4
    assert abs(line.count("━") + line.count("╸") - whole / 2) <= 1


def test_several_stems_have_a_mean() -> None:
    told = RunStatistics(RECIPE)
    told.note(step(20, STEMS))
    told.note(validated(20, 1.0, 4.0, best=False, best_mean=3.0))
    told.note(validated(40, 2.0, 3.5, best=False, best_mean=3.0))
    shown = screen(told, 78, 23)
    for row in (
        "SDR dB   last   best  change    step",
        "vocals   2.00   2.00   +1.00      40",
        "bass     3.50   4.00   -0.50      20",
        "mean     2.75   3.00   +0.25  before",
    ):
        assert row in shown


def test_losses_of_single_stems_are_for_whoever_asks() -> None:
    told = RunStatistics(RECIPE)
    told.note(step(20, STEMS))
    assert "/" not in screen(told, 78, 23).split("\n", 1)[1]
    assert screen(told, 78, 39, verbose=True).count("waveform_l1/") == 6


@pytest.mark.parametrize("height", [6, 12, 23, 39])
@pytest.mark.parametrize("width", [30, 38, 58, 78, 118, 198])
def test_no_line_is_wider_than_the_terminal(width: int, height: int) -> None:
    told = figures(adversary=True)
    for number in range(41, 45):
        told.note(step(number, STEMS, adversary=True))
    lines = screen(told, width, height, verbose=True).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert lines[0].startswith("step 44/1,000")


def test_common_terminals_show_all_of_a_large_run() -> None:
    """Six losses, six stems with their mean, two networks: at 80x24 as well."""
    told = figures(adversary=True)
    for number in (60, 80):
        event = validated(number, 1.0, best=False, best_mean=1.5)
        sdr = {stem: 1.0 for stem in STEMS}
        told.note(type(event)(number, sdr, 1.0, False, 1.5))
    lines = screen(told, 78, 23).splitlines()
    assert len(lines) <= 23
    assert sum(line.startswith("total ") for line in lines) == 1
    shown = "\n".join(lines)
    assert all(f"{stem} " in shown for stem in (*STEMS, "mean", "discriminator"))
