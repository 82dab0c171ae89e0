"""Numbers formatted for people. Expected values are worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.shell import quoted
from stemcli.cli.formatting import clock, millions, size, times_real_time
from stemcli.cli.parameter_types import seconds
from stemcli.printable import counted, printable


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0:00"), (7.4, "0:07"), (201, "3:21"), (59.6, "1:00"), (3723, "1:02:03")],
)
def test_clock(number: float, text: str) -> None:
    assert clock(number) == text


@given(st.integers(0, 10**6))
def test_a_formatted_time_is_parsed_back(number: int) -> None:
    assert seconds(clock(number)) == number


@pytest.mark.parametrize(
    ("audio", "wall", "text"),
    [(43, 10, "4.3x"), (1000, 5, "200x"), (0, 5, ""), (5, 0, ""), (1, 99, "")],
)
def test_times_real_time(audio: float, wall: float, text: str) -> None:
    assert times_real_time(audio, wall) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (812, "812 B"), (19_300_000, "19.3 MB"), (3e12, "3.0 TB")]
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text


def test_counts() -> None:
    assert [counted(n, "song") for n in (0, 1, 2, 1200)] == [
        "no songs",
        "1 song",
        "2 songs",
        "1,200 songs",
    ]
    assert (millions(4_812_345), millions(873_000)) == ("4.8 M", "873 k")


def test_control_characters_in_names_are_replaced() -> None:
    assert printable("a\x1b[2Jb\nc\udcff 🎵 niño") == "a�[2Jb�c� 🎵 niño"


def test_paths_are_quoted_for_the_shell() -> None:
    assert quoted("Los Rombos - Fantasma (niño).mp3") == "'Los Rombos - Fantasma (niño).mp3'"
