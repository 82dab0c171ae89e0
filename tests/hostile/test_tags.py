"""Songs with tags that would fill the memory: they are separated, and a notice names the tags.

Checked by the peak memory of the process, and by the stems.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import put
from tests.hostile.table import Row, attack, params
from tests.hostile.tagged import TAGGED, wave
from tests.model_zoo.small import small_network

STEP = 2**-15
"""The 16-bit step to which stems are rounded."""


@pytest.mark.parametrize("row", params(TAGGED))
def test_huge_tags_are_left_out(row: Row, tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    put(
        small_network(),
        Card("tiny", "melrnn", stems=("vocals",), residual="rest"),
        tmp_path / "zoo",
    )
    ended = attack(row, tmp_path)
    if row.code == 0:
        assert re.search(row.says, ended.out + ended.err), ended
        require_complete_stems(tmp_path, row.command.split()[1])


def require_complete_stems(folder: Path, song: str) -> None:
    """Check that the stems have the length of the untagged song and add up to it."""
    (folder / "plain").mkdir()
    suffix = Path(song).suffix.replace(".wv", ".wav")  # both are lossless
    plain, _ = soundfile.read(wave(folder / "plain", suffix), always_2d=True)
    stems = [soundfile.read(folder / "made/song" / f"{stem}.wav")[0] for stem in ("vocals", "rest")]
    assert [len(stem) for stem in stems] == [len(plain)] * 2
    total = sum(stems)
    gain = np.vdot(total, plain) / np.vdot(plain, plain)  # all stems are lowered if one would clip
    assert 0.1 < gain < 1 + STEP
    assert np.abs(total - gain * plain).max() <= 3 * STEP
    assert len([*(folder / "made").rglob("*.*")]) == 2
