from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_zoo.errors import OutputError
from stemcli.engine.spool import BLOCK, Spool
from tests.little_room import room_for
from tests.stemcli.engine.stubs import noise


@given(st.lists(st.integers(0, 200)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_in_comes_out(tmp_path: Path, sizes: list[int]) -> None:
    """Law: bit for bit and in order, however often it is read."""
    parts = [noise(size, 6, seed=size).reshape(size, 3, 2) for size in sizes]
    spool = Spool(tmp_path, 3, 2)
    for part in parts:
        spool.write(part)
    expected = np.concatenate([np.zeros((0, 3, 2), np.float32), *parts])
    for _ in range(2):
        read = np.concatenate([np.zeros((0, 3, 2), np.float32), *spool.blocks()])
        np.testing.assert_array_equal(read, expected)
    assert not list(tmp_path.iterdir()), "the file has no name"
    spool.close()


def test_reading_is_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1)
    spool.write(np.zeros((3 * BLOCK // 2, 1), np.float32))
    assert [len(block) for block in spool.blocks()] == [BLOCK, BLOCK // 2]
    spool.close()


def test_blocks_of_another_layout_are_kept(tmp_path: Path) -> None:
    """A transposed view, as overlap-add makes it, is written in the order of its axes."""
    spool = Spool(tmp_path, 2)
    block = np.arange(8, dtype=np.float32).reshape(2, 4).T
    spool.write(block)
    np.testing.assert_array_equal(next(spool.blocks()), block)
    spool.close()


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"No such file.*choose another folder with --output"):
        Spool(tmp_path / "gone", 1)


def write_in_small_blocks(spool: Spool) -> None:
    for _ in range(100):
        spool.write(np.zeros((100, 1), np.float32))


def test_a_full_disk_is_a_sentence_and_closing_says_nothing_more(tmp_path: Path) -> None:
    """In small blocks the disk refuses what waits in a buffer, and again when it is closed."""
    spool = Spool(tmp_path, 1)
    with room_for(20_000):
        with pytest.raises(OutputError, match=r"Cannot write to .*--output"):
            write_in_small_blocks(spool)
        spool.close()
    assert [*tmp_path.iterdir()] == []
