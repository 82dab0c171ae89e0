"""Names of others, where they are shown, written and made names of files.

Truth: Unicode's categories for what a terminal and a file manager get, and OWASP's list of
characters that begin a formula for what a spreadsheet gets.
"""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path

import pytest

from tests.hostile.names import NAMED
from tests.hostile.table import USER, Row, attack, owned, params

FORMULAS = tuple("=+-@\t\r")


def controls(text: str) -> set[str]:
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")}


@pytest.mark.parametrize("row", params(NAMED))
def test_names_of_others_do_no_harm(row: Row, tmp_path: Path) -> None:
    ended = attack(row, tmp_path)
    assert controls(ended.out + ended.err) <= {"\n"}
    if not row.code:
        assert row.says in ended.out + ended.err
    assert [*owned(tmp_path)] == ["thesis.wav"]
    stems = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(controls(path.name) for path in stems)
    for cell in cells(tmp_path / "report.csv"):
        assert not cell.startswith(FORMULAS) or is_number(cell), cell
    assert (tmp_path / USER).is_dir()


def cells(report: Path) -> list[str]:
    if not report.exists():
        return []
    with report.open(newline="") as file:
        return [cell for row in csv.reader(file) for cell in row]


def is_number(cell: str) -> bool:
    try:
        return float(cell) == float(cell)
    except ValueError:
        return False
