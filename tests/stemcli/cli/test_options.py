"""Parsing of option values. Expected values are worked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import BadParameter
from hypothesis import given
from hypothesis import strategies as st

from stemcli.cli.options import report
from stemcli.cli.parameter_types import device, fraction, names, seconds, track


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90.0),
        ("1:30", 90.0),
        ("1:02:03.5", 3723.5),
        ("0", 0.0),
        (".5", 0.5),
        ("90.", 90.0),
        (" 2:05 ", 125.0),
        ("100:00", 6000.0),
    ],
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-1", "1:60", "1:60:00", "1:2:3:4", "soon", "1e3", "nan", ":"]
)
def test_invalid_times_are_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="is not a time"):
        seconds(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_a_time_is_the_sum_of_its_parts(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}:{minutes:02}:{rest:02}") == 3600 * hours + 60 * minutes + rest


@given(st.floats(0, 1, exclude_max=True))
def test_fractions(number: float) -> None:
    assert fraction(repr(number)) == number


@pytest.mark.parametrize("text", ["1", "-0.1", "25", "nan", "a quarter"])
def test_invalid_fractions_are_refused(text: str) -> None:
    with pytest.raises(BadParameter, match=r"Try.* 0\.25"):
        fraction(text)


def test_names_are_stripped_and_deduplicated_in_order() -> None:
    assert names("vocals, drums,vocals,") == ("vocals", "drums")


def test_no_names() -> None:
    with pytest.raises(BadParameter, match=r"Try e\.g\. vocals,drums"):
        names(" , ")


@pytest.mark.parametrize("text", ["auto", "cpu", "CUDA", "cuda:1", "mps"])
def test_devices(text: str) -> None:
    assert device(text) == text.lower()


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", ""])
def test_invalid_devices_are_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="Try auto, cpu"):
        device(text)


def test_reports_must_end_in_a_known_format() -> None:
    assert report("a.CSV") == Path("a.CSV")
    with pytest.raises(BadParameter, match=r"'S3\\r\.xlsx' does not end in \.json or \.csv"):
        report(r"S3\r.xlsx")
    with pytest.raises(BadParameter, match=r"does not end in \.json or \.csv"):
        report("a.txt")


def test_audio_tracks_are_numbers_from_1() -> None:
    assert [track("1"), track(" 12 ")] == [1, 12]


@pytest.mark.parametrize("text", ["x", "0", "-1", "1.5", "", "²", "1" * 5000])
def test_invalid_audio_tracks_are_refused(text: str) -> None:
    with pytest.raises(BadParameter, match=r"is not a track number\. Use e\.g\. --track 2"):
        track(text)
