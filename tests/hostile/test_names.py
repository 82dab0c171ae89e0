"""Untrusted names in output, reports and file names.

Reference: Unicode's categories for terminals and file managers, and OWASP's list of characters
that start a formula for spreadsheets.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import soundfile

from stemcli.batch.journal import NAME as JOURNAL
from tests.hostile.names import NAMED
from tests.hostile.table import Row, attack, controls, params

FORMULAS = tuple("=+-@\t\r")


@pytest.mark.parametrize("row", params(NAMED))
def test_malicious_names_do_no_harm(row: Row, tmp_path: Path) -> None:
    ended = attack(row, tmp_path)
    if not row.code:
        assert row.says in ended.out + ended.err
        is_flat = "--no-recursive" in row.command
        songs = len([*tmp_path.glob("*.wav" if is_flat else "songs/*.wav")])
        check_stems(tmp_path, songs, frames=4410)
    assert not any(controls(path.name) for path in (tmp_path / "out").rglob("*") if path.is_file())
    for cell in cells(tmp_path / "report.csv"):
        assert not cell.startswith(FORMULAS) or is_number(cell), cell


def check_stems(folder: Path, songs: int, frames: int) -> None:
    """Each song has two stems of its length, and there are no other files."""
    outputs = [path for path in (folder / "out").rglob("*") if path.is_file()]
    stems = [path for path in outputs if path.suffix == ".wav"]
    assert len(stems) == 2 * songs
    assert {soundfile.info(path).frames for path in stems} == {frames}
    assert [path.name for path in outputs if path.suffix != ".wav"] == [JOURNAL]


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
