"""Every format and container with every oddity: number and values of samples, and reports.

Reference: the encoded samples for lossless formats; for lossy ones ffmpeg's decode of the file
without the oddity, with none of our options. Property: missing audio is reported, and nothing is
reported if none is missing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stemcli.audio.containers.comparison import decode_song, find_problem
from tests.stemcli.audio.containers.oddities import ODDITIES
from tests.stemcli.audio.containers.rows import ROWS, Row

LEAST = 12
"""Number of oddities that apply to every format; the oddities explain their blanks."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_format_with_every_oddity(row: Row, tmp_path: Path) -> None:
    problems, cells = {}, 0
    for name, make in ODDITIES.items():
        odd = make(row)
        if odd is None:
            continue
        cells += 1
        path = tmp_path / f"odd.{row.suffix}"
        path.write_bytes(odd.data)
        if problem := find_problem(row, odd, decode_song(path)):
            problems[name] = problem
    assert problems == {}
    assert cells >= LEAST
