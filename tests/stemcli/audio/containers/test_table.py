"""Every format and container with every oddity: number and values of samples, and what is said.

Truth: a lossless format gives what was encoded; of a lossy one ffmpeg, run without any of our
options, decodes the file without the oddity, also where libsndfile is what reads it. Property: sound is
missing, and that is said, or none is missing, and nothing is said.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stemcli.audio.containers.oddities import ODDITIES
from tests.stemcli.audio.containers.rows import ROWS, Row
from tests.stemcli.audio.containers.verdicts import decoded, fault

LEAST = 12
"""Oddities that apply to every format; the reasons of blanks stand where they are made."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_format_with_every_oddity(row: Row, tmp_path: Path) -> None:
    faults, cells = {}, 0
    for name, make in ODDITIES.items():
        odd = make(row)
        if odd is None:
            continue
        cells += 1
        path = tmp_path / f"odd.{row.suffix}"
        path.write_bytes(odd.data)
        if found := fault(row, odd, decoded(path)):
            faults[name] = found
    assert faults == {}
    assert cells >= LEAST
