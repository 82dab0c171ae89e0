"""The live table of a run, compared with screens drawn by hand from the example run."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console as Terminal

from tests.trainers.example_run import RECIPE, STARTED, example_events, step, validated
from trainers.cli.dashboard import STAGES, draw
from trainers.cli.run_statistics import RunStatistics
from trainers.loop.events import StageProgress

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


def example_statistics(adversary: bool = False) -> RunStatistics:
    statistics = RunStatistics(RECIPE)
    for event in example_events(adversary):
        statistics.note(event)
    return statistics


def screen(statistics: RunStatistics, width: int, height: int, verbose: bool = False) -> str:
    out = io.StringIO()
    terminal = Terminal(file=out, width=width, height=height, color_system=None)
    terminal.print(draw(statistics, width, height, verbose))
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
    assert screen(example_statistics(adversary), width, height) == golden


def test_blank_lines_are_dropped_when_space_is_short() -> None:
    """Ten rows fit the tables with both blank lines; nine do not."""
    lines = BESIDE.splitlines()
    assert screen(example_statistics(), 78, 10) == BESIDE
    assert screen(example_statistics(), 78, 9).splitlines() == [line for line in lines if line]


def test_before_the_first_step_there_is_only_the_bar() -> None:
    statistics = RunStatistics(RECIPE)
    statistics.note(STARTED)
    (line,) = screen(statistics, 78, 23).splitlines()
    assert line.split() == ["step", "0/1,000", "0", "%", "epoch", "0.0"]


def test_before_the_first_validation() -> None:
    statistics = RunStatistics(RECIPE)
    for event in (STARTED, step(1)):
        statistics.note(event)
    text = screen(statistics, 78, 23)
    assert "SDR" not in text
    assert "16:39:00 left" in text  # 999 steps of one minute
    assert "waveform_l1              0.0200\n" in text


def test_the_bar_says_when_validation_runs() -> None:
    statistics = RunStatistics(RECIPE)
    for event in (STARTED, step(20)):
        statistics.note(event)
    assert screen(statistics, 78, 23).splitlines()[0].endswith("epoch 0.2    validating")


STAGE_LINES = [
    (StageProgress(20, "validating", 0, 8), "validating song 1/8", 0),
    (StageProgress(20, "validating", 4, 8), "validating song 5/8", 0.5),
    (StageProgress(20, "validating", 8, 8), "validating song 8/8", 1),
    (StageProgress(20, "rendering", 1, 2), "writing excerpt 2/2", 0.5),
    (StageProgress(20, "saving"), "saving", None),
]
"""Stages between two steps, their words, and the filled share of the bar by hand."""


@pytest.mark.parametrize(("stage", "words", "share"), STAGE_LINES)
def test_a_stage_between_two_steps_has_a_bar_of_its_own(
    stage: StageProgress, words: str, share: float | None
) -> None:
    """After the last step too: the bar of the steps would be full and seem to be stuck."""
    statistics = RunStatistics(RECIPE)
    for event in (STARTED, step(1000), stage):
        statistics.note(event)
    line = screen(statistics, 78, 23).splitlines()[0]
    assert line.startswith("step 1,000/1,000  ")
    assert line.endswith(f"  {words}")
    assert len(line) == 78
    assert STAGES[stage.stage] in screen(statistics, 42, 23).splitlines()[0]
    if share is not None:
        columns = 78 - len("step 1,000/1,000  ") - len("  100 %  epoch 10.0     0:00 left")
        filled = line.count("━") + line.count("╸")
        assert abs(filled - share * columns) <= 1


def test_the_next_step_ends_a_stage() -> None:
    statistics = RunStatistics(RECIPE)
    for event in (STARTED, step(21), StageProgress(21, "saving"), StageProgress(21, "training")):
        statistics.note(event)
    assert screen(statistics, 78, 23).splitlines()[0].endswith(" left")
    statistics.note(StageProgress(21, "saving"))
    statistics.note(step(22))
    assert screen(statistics, 78, 23).splitlines()[0].endswith(" left")


def test_the_bar_shows_the_share_of_steps() -> None:
    """500 of 1000 steps fill half of the columns that the text leaves."""
    statistics = RunStatistics(RECIPE)
    for event in (STARTED, step(500)):
        statistics.note(event)
    line = screen(statistics, 78, 23).splitlines()[0]
    columns = 78 - cell_len("step 500/1,000") - cell_len("50 %  epoch 5.0              ") + 1 - 4
    assert abs(line.count("━") + line.count("╸") - columns / 2) <= 1


def test_several_stems_have_a_mean() -> None:
    statistics = RunStatistics(RECIPE)
    statistics.note(step(20, STEMS))
    statistics.note(validated(20, 1.0, 4.0, best=False, best_mean=3.0))
    statistics.note(validated(40, 2.0, 3.5, best=False, best_mean=3.0))
    text = screen(statistics, 78, 23)
    for row in (
        "SDR dB   last   best  change    step",
        "vocals   2.00   2.00   +1.00      40",
        "bass     3.50   4.00   -0.50      20",
        "mean     2.75   3.00   +0.25  before",
    ):
        assert row in text


def test_losses_of_single_stems_need_verbose() -> None:
    statistics = RunStatistics(RECIPE)
    statistics.note(step(20, STEMS))
    assert "/" not in screen(statistics, 78, 23).split("\n", 1)[1]
    assert screen(statistics, 78, 39, verbose=True).count("waveform_l1/") == 6


@pytest.mark.parametrize("height", [6, 12, 23, 39])
@pytest.mark.parametrize("width", [30, 38, 58, 78, 118, 198])
def test_no_line_is_wider_than_the_terminal(width: int, height: int) -> None:
    statistics = example_statistics(adversary=True)
    for number in range(41, 45):
        statistics.note(step(number, STEMS, adversary=True))
    lines = screen(statistics, width, height, verbose=True).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert lines[0].startswith("step 44/1,000")


def test_a_large_run_fits_on_a_common_terminal() -> None:
    """Six losses, six stems with their mean and two networks fit in 80x24."""
    statistics = example_statistics(adversary=True)
    for number in (60, 80):
        event = validated(number, 1.0, best=False, best_mean=1.5)
        sdr = {stem: 1.0 for stem in STEMS}
        statistics.note(type(event)(number, sdr, 1.0, False, 1.5))
    lines = screen(statistics, 78, 23).splitlines()
    assert len(lines) <= 23
    assert sum(line.startswith("total ") for line in lines) == 1
    text = "\n".join(lines)
    assert all(f"{stem} " in text for stem in (*STEMS, "mean", "discriminator"))
