"""Scratch folders of workers. Truth: nothing of them is left, and no other is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cluster.worker import scratch


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_folder_has_the_name_of_the_run_and_is_gone_at_the_end(tmp_path: Path) -> None:
    with scratch("voice") as folder:
        folder.mkdir()
        (folder / "file").write_text("text")
        assert folder.name == "voice"
    assert [*tmp_path.rglob("file")] == []
    with pytest.raises(FileNotFoundError), scratch("voice") as folder:
        (folder / "no" / "such" / "file").touch()
    assert [*tmp_path.glob("*/*")] == []


KILLED = """
import os, tempfile
from trainers.cluster.worker import scratch
tempfile.tempdir = {folder!r}
with scratch("voice") as folder:
    folder.mkdir()
    os._exit(9)
"""


def test_the_next_worker_removes_folders_of_killed_processes_only(
    tmp_path: Path,
) -> None:
    with scratch("voice") as living:
        living.mkdir()
        code = KILLED.format(folder=str(tmp_path))
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
        assert len([*tmp_path.rglob("voice")]) == 2
        with scratch("voice"):
            assert [*tmp_path.rglob("voice")] == [living]
