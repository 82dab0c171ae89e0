from __future__ import annotations

import shutil
import tempfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_zoo.errors import OutputError
from stemcli.engine.spool import BLOCK, Spool, spool_folders
from tests.full_disk import file_limit
from tests.stemcli.engine.stubs import noise


@given(st.lists(st.integers(0, 200)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_are_read_back_bit_for_bit(tmp_path: Path, sizes: list[int]) -> None:
    """Property: bit for bit and in order, on every read."""
    parts = [noise(size, 6, seed=size).reshape(size, 3, 2) for size in sizes]
    spool = Spool([tmp_path], 3, 2)
    for part in parts:
        spool.write(part)
    expected = np.concatenate([np.zeros((0, 3, 2), np.float32), *parts])
    for _ in range(2):
        read = np.concatenate([np.zeros((0, 3, 2), np.float32), *spool.blocks()])
        np.testing.assert_array_equal(read, expected)
    assert not list(tmp_path.iterdir()), "the file has no name"
    spool.close()


def test_reading_is_bounded(tmp_path: Path) -> None:
    spool = Spool([tmp_path], 1)
    spool.write(np.zeros((3 * BLOCK // 2, 1), np.float32))
    assert [len(block) for block in spool.blocks()] == [BLOCK, BLOCK // 2]
    spool.close()


def test_blocks_of_another_memory_layout_are_kept(tmp_path: Path) -> None:
    """A transposed view, as overlap-add returns, is written in the order of its axes."""
    spool = Spool([tmp_path], 2)
    block = np.arange(8, dtype=np.float32).reshape(2, 4).T
    spool.write(block)
    np.testing.assert_array_equal(next(spool.blocks()), block)
    spool.close()


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone \(No such file.*set TMPDIR to a folder"):
        Spool([tmp_path / "gone"], 1)


def write_in_small_blocks(spool: Spool) -> None:
    for _ in range(100):
        spool.write(np.zeros((100, 1), np.float32))


def test_a_full_disk_is_reported_once(tmp_path: Path) -> None:
    spool = Spool([tmp_path], 1)
    with file_limit(20_000):
        with pytest.raises(
            OutputError, match=r"Free some space there, set TMPDIR .*, or use clip_mode='clamp'"
        ):
            write_in_small_blocks(spool)
        spool.close()
    assert [*tmp_path.iterdir()] == []


def test_a_full_disk_continues_in_the_next_folder(tmp_path: Path) -> None:
    """Property: nothing is lost where one file ends in the middle of a frame."""
    folders = [tmp_path / "gone", tmp_path, tmp_path]
    wave = noise(3000, 2, seed=1)
    spool = Spool(folders, 2)
    with file_limit(16_003):  # bytes of each file, of 24,000
        for start in range(0, len(wave), 700):
            spool.write(wave[start : start + 700])
    np.testing.assert_array_equal(np.concatenate([*spool.blocks()]), wave)
    spool.close()


Disk = namedtuple("Disk", "free")


@pytest.mark.parametrize(
    ("free_space", "chosen", "expected"),
    [
        ({"tmp": 9, "out": 5}, False, ["tmp", "out"]),
        ({"tmp": 5, "out": 9}, False, ["out", "tmp"]),
        ({"tmp": 5, "out": 9}, True, ["tmp", "out"]),
    ],
)
def test_order_of_spool_folders(
    free_space: dict[str, int],
    chosen: bool,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand: the folder with more free space comes first, unless TMPDIR is set."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Disk(free_space[folder.name]))
    monkeypatch.delenv("TMPDIR", raising=False)
    if chosen:
        monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    assert [folder.name for folder in spool_folders(tmp_path / "out")] == expected
