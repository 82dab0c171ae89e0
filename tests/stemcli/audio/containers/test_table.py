"""Every format and container with every oddity: number and values of samples, and what is said.

Truth: a lossless format gives what was encoded; for a lossy one a second decoder reads the plain
file, libsndfile or ffmpeg, whichever did not make ours. Law: sound is missing, and that is said, or
none is missing, and nothing is said.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stemcli.audio.containers.oddities import ODDITIES
from tests.stemcli.audio.containers.rows import ROWS, Row
from tests.stemcli.audio.containers.verdicts import decoded, fault

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_format_with_every_oddity(row: Row, tmp_path: Path) -> None:
    faults = {}
    for name, make in ODDITIES.items():
        odd = make(row)
        if odd is None:
            continue
        path = tmp_path / f"odd.{row.suffix}"
        path.write_bytes(odd.data)
        if found := fault(row, odd, decoded(path)):
            faults[name] = found
    assert faults == {}
