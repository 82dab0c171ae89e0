"""Songs whose tags would fill the memory: they are separated, and a notice says what is left out.

Truth: the peak of the process, and the stems.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import soundfile

from model_zoo.card import Card
from model_zoo.install import put
from tests.hostile.table import Row, attack, params
from tests.hostile.tagged import TAGGED
from tests.model_zoo.small import small_network


@pytest.mark.parametrize("row", params(TAGGED))
def test_tags_without_end_are_left_out(row: Row, tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    put(
        small_network(),
        Card("tiny", "melrnn", stems=("vocals",), residual="rest"),
        tmp_path / "zoo",
    )
    ended = attack(row, tmp_path)
    if row.code == 0:
        assert re.search(row.says, ended.out + ended.err), ended
        assert soundfile.info(tmp_path / "made/song/vocals.wav").frames >= 4410
