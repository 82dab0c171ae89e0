"""Folders that a run made and did not need; the expectation is the tree that was there before."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemcli.batch.plan import no_empty_folders


def test_what_is_new_and_empty_goes_and_the_rest_stays(tmp_path: Path) -> None:
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


def interrupted(path: Path) -> None:
    with no_empty_folders([path]):
        path.parent.mkdir(parents=True)
        raise KeyboardInterrupt


def test_an_interrupt_is_tidied_up_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "out" / "song" / "a.wav")
    assert not (tmp_path / "out").exists()
