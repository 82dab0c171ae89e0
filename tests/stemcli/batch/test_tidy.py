"""Folders that a run created but did not use are removed again."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemcli.batch.plan import no_empty_folders


def test_only_new_empty_folders_are_removed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    outputs = [tmp_path / "old/new/a.wav", tmp_path / "out/full/b.wav", tmp_path / "out/c/d.wav"]
    with no_empty_folders(outputs):
        for path in outputs:
            path.parent.mkdir(parents=True)
        outputs[1].touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "old",
        "out",
        str(Path("out/full")),
        str(Path("out/full/b.wav")),
    ]


def create_and_interrupt(path: Path) -> None:
    with no_empty_folders([path]):
        path.parent.mkdir(parents=True)
        raise KeyboardInterrupt


def test_new_folders_are_removed_after_an_interrupt(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        create_and_interrupt(tmp_path / "out" / "song" / "a.wav")
    assert not (tmp_path / "out").exists()
