"""The songs that are there when no others are. Truth: those that the renderer makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trainers.data import synthetic as module
from trainers.data.synthetic import render_songs, sample_set


@pytest.fixture(autouse=True)
def _little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SONGS", 2)
    monkeypatch.setattr(module, "SECONDS", 0.5)


def test_the_songs_are_those_of_the_renderer_and_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_songs(tmp_path / "songs", 2, 0.5, 8000)
    made = sample_set(8000)
    names = [path.relative_to(made) for path in sorted(made.rglob("*.wav"))]
    assert len(names) == 2 * 5
    for name in names:
        assert (made / name).read_bytes() == (tmp_path / "songs" / name).read_bytes()
    monkeypatch.setattr(module, "render_songs", None)
    assert sample_set(8000) == made


def test_several_at_once_leave_one_set_and_nothing_else() -> None:
    with ThreadPoolExecutor(4) as pool:
        places = {*pool.map(sample_set, [8000] * 4)}
    (place,) = places
    assert [path.name for path in place.parent.iterdir()] == [place.name]
