"""Scratch folders of workers, which are removed without touching others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cluster.worker import scratch


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_scratch_folder_is_named_after_the_run_and_removed(tmp_path: Path) -> None:
    with scratch("voice") as folder:
        folder.mkdir()
        (folder / "file").write_text("text")
        assert folder.name == "voice"
    assert [*tmp_path.rglob("file")] == []
    with pytest.raises(FileNotFoundError), scratch("voice") as folder:
        (folder / "no" / "such" / "file").touch()
    assert [*tmp_path.glob("*/*")] == []


KILLED_WORKER = """
import os, tempfile
from trainers.cluster.worker import scratch
tempfile.tempdir = {folder!r}
with scratch("voice") as folder:
    folder.mkdir()
    os._exit(9)
"""


def test_only_folders_of_killed_processes_are_removed(
    tmp_path: Path,
) -> None:
    with scratch("voice") as own_folder:
        own_folder.mkdir()
        code = KILLED_WORKER.format(folder=str(tmp_path))
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
        assert len([*tmp_path.rglob("voice")]) == 2
        with scratch("voice"):
            assert [*tmp_path.rglob("voice")] == [own_folder]
