"""The sample set, used when there are no other songs. Reference: the renderer's songs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainers.data import synthetic as module
from trainers.data.synthetic import render_songs, sample_set


@pytest.fixture(autouse=True)
def _small_sample_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SONGS", 2)
    monkeypatch.setattr(module, "SECONDS", 0.5)


def test_the_sample_set_is_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render_songs(tmp_path / "songs", 2, 0.5, 8000)
    rendered = sample_set(8000)
    names = [path.relative_to(rendered) for path in sorted(rendered.rglob("*.wav"))]
    assert len(names) == 2 * 5
    for name in names:
        assert (rendered / name).read_bytes() == (tmp_path / "songs" / name).read_bytes()
    monkeypatch.setattr(module, "render_songs", None)
    assert sample_set(8000) == rendered


def test_concurrent_calls_leave_one_sample_set() -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = {*pool.map(sample_set, [8000] * 4)}
    (folder,) = folders
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
