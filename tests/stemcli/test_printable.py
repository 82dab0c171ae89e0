"""Untrusted text in output. Reference: Unicode's categories, and OWASP's list of characters."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemcli.printable import (
    KEPT,
    byte_length,
    cell,
    copy_name,
    name_part,
    portable,
    portable_name,
    printable,
    printable_lines,
)

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""All characters with the property Bidi_Control (UAX 9, Explicit Directional Formatting)."""


@given(st.text())
def test_control_characters_are_replaced(text: str) -> None:
    printed = printable(text)
    assert len(printed) == len(text)
    left = {each for each in printed if unicodedata.category(each)[0] == "C" and each not in KEPT}
    assert {unicodedata.category(each) for each in left} <= {"Cn", "Co"}
    assert printable(printed) == printed


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_written_text_is_unchanged(text: str) -> None:
    assert printable(text) == text
    assert printable_lines(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "👩‍👩‍👧‍👦 family",  # four emoji joined by ZERO WIDTH JOINER
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿 England",  # a flag made of tag letters
        "שיר חדש.mp3",
        "أغنية.mp3",
        "می‌خواهم",  # Persian, with ZERO WIDTH NON-JOINER
        "क्‍ष",
        "naïve – “quoted” €",
    ],
)
def test_names_of_all_languages_stay_readable(text: str) -> None:
    assert printable(text) == text
    assert name_part(text) == text


@pytest.mark.parametrize("mark", BIDI + "\x1b\x07\x08\x00\x7f\x9b\r\n\t\u2028\u2029\u200b\ufeff")
def test_bidi_and_control_marks_are_replaced(mark: str) -> None:
    assert printable(f"song{mark}gnp.exe") == "song�gnp.exe"
    assert name_part(f"song{mark}gnp.exe") == "song_gnp.exe"


@pytest.mark.parametrize(
    "formula", ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "＝1", "- sad"]
)
def test_formulas_become_text(formula: str) -> None:
    assert cell(formula).startswith("'")
    assert cell(formula)[1] not in "\t\r"


@pytest.mark.parametrize("number", ["-3.2", "+1", "-1e-05", "-inf", ".5", "0", "nan", ""])
def test_numbers_are_unchanged(number: str) -> None:
    assert cell(number) == number


@given(st.text())
def test_a_cell_stays_one_csv_cell(text: str) -> None:
    """Property: for any text, a cell is read back as one cell."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow([cell(text), "next"])
    ((first, second),) = csv.reader([*io.StringIO(line.getvalue(), newline="")])
    assert (first, second) == (cell(text), "next")


@given(st.text(min_size=1), st.sampled_from([".mp3", ".aiff", ""]))
def test_the_name_of_a_copy(name: str, ending: str) -> None:
    """Property: whatever the length of a name, the file system takes it, and its extension stays.

    50 bytes are left for the name of a stem.
    """
    for repeated in (name, name * 300):
        found = copy_name(f"a{repeated}{ending}")
        assert found.endswith(ending)
        assert byte_length(found) <= 200
        assert not {"/", "\\", "\0"} & {*found}


@pytest.mark.parametrize(
    ("name", "spared"), [("NUL.wav", "NUL_.wav"), ("com1 .a.b", "com1_.a.b"), ("null", "null")]
)
def test_names_of_devices_get_an_underscore(
    name: str, spared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names from tags and URLs, which are the same on all systems, and names on Windows."""
    assert portable_name(portable(name)) == spared
    assert copy_name(name) == name
    monkeypatch.setattr("stemcli.printable.ON_WINDOWS", True)
    assert copy_name(name) == spared
    assert copy_name("a:b?.wav") == "a_b_.wav"


def test_a_traceback_keeps_its_lines() -> None:
    assert printable_lines("one\n\ttwo\x1b[2J") == "one\n        two�[2J"
