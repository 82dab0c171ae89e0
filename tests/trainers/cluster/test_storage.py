"""The folder of a run on a disk and behind a URL. Truth: what was put there, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from model_zoo.catalogue.resolve import LAST
from model_zoo.errors import OutputError, StorageError
from stemcli.remote_path import UrlPath, as_path
from trainers.cluster import storage as module
from trainers.cluster.storage import RunStorage


@pytest.fixture(params=["disk", "url"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "disk":
        return tmp_path / "run"
    return as_path(f"memory://runs/{uuid4().hex}")


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def read(place: Path, name: str) -> str:
    with (place / name).open("rb") as file:
        return bytes(file.read()).decode()


def test_what_is_stored_is_fetched_by_another_machine(place: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    write(here, **{LAST: "weights", "recipe.json": "{}", "events.1": "curves", ".half": "rubbish"})
    write(here / "excerpts" / "step 1", **{"mix ture.flac": "sound"})
    storage = RunStorage(place)
    assert not storage.has_checkpoint()
    storage.store(here)
    assert storage.has_checkpoint()
    assert read(place, "excerpts/step 1/mix ture.flac") == "sound"
    assert not (place / ".half").exists()
    RunStorage(place).fetch(there)
    found = {str(path.relative_to(there)): path for path in there.rglob("*") if path.is_file()}
    assert {name: path.read_text() for name, path in found.items()} == {
        LAST: "weights",
        "recipe.json": "{}",
        "excerpts/step 1/mix ture.flac": "sound",
    }


def test_what_is_gone_is_gone_in_the_place_too(place: Path, tmp_path: Path) -> None:
    """Also what an earlier worker stored, and what a killed one left half written."""
    here, there = tmp_path / "here", tmp_path / "there"
    write(here, **{LAST: "weights", ".last.safetensors.1.part": "half"})
    write(here / "excerpts", **{"1.flac": "sound", "2.flac": "sound"})
    RunStorage(place).store(here)
    (place / ".x.part").store(here / LAST) if isinstance(place, UrlPath) else write(
        place, **{".x.part": "half"}
    )
    storage = RunStorage(place)
    storage.fetch(there)
    assert not (place / ".x.part").exists()
    (there / "excerpts" / "1.flac").unlink()
    storage.store(there)
    assert not (place / "excerpts/1.flac").exists()
    assert (place / "excerpts/2.flac").exists()


def test_who_lost_the_right_writes_nothing_more(place: Path, tmp_path: Path) -> None:
    """The checkpoint of another group stays, also when the right is lost during the upload."""
    write(tmp_path / "here", **{LAST: "ours", "best.safetensors": "ours"})
    asked: list[int] = []

    def require_current() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise RuntimeError("another group")

    storage = RunStorage(place)
    with pytest.raises(RuntimeError, match="another group"):
        storage.store(tmp_path / "here", require_current)
    assert not storage.has_checkpoint()


def test_one_file_is_fetched_by_its_name(place: Path, tmp_path: Path) -> None:
    write(tmp_path / "here", **{LAST: "weights", "recipe.json": "{}"})
    RunStorage(place).store(tmp_path / "here")
    RunStorage(place).fetch(tmp_path / "there", LAST)
    assert [path.name for path in (tmp_path / "there").iterdir()] == [LAST]


def test_only_what_changed_is_stored_again_and_the_checkpoint_last(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, stored = tmp_path / "here", []
    store = module._store

    def watched(source: Path, *given: Any) -> None:
        stored.append(source.name)
        store(source, *given)

    monkeypatch.setattr(module, "_store", watched)
    write(here, **{LAST: "1", "best.safetensors": "1", "zero.json": "0"})
    storage = RunStorage(place)
    storage.store(here)
    assert (stored[-1], sorted(stored)) == (LAST, ["best.safetensors", LAST, "zero.json"])
    stored.clear()
    write(here, **{LAST: "2", "best.safetensors": "22"})
    os.utime(here / LAST, ns=(0, 0))
    storage.store(here)
    assert stored == ["best.safetensors", LAST]
    assert read(place, LAST) == "2"
    stored.clear()
    storage.store(here)
    assert not stored


def test_what_was_fetched_is_not_stored_again(place: Path, tmp_path: Path) -> None:
    write(tmp_path / "here", **{LAST: "weights"})
    RunStorage(place).store(tmp_path / "here")
    other = RunStorage(place)
    other.fetch(tmp_path / "there")
    assert [*other._changed(tmp_path / "there")] == []


@pytest.mark.parametrize("refusals", [5, 6])
def test_a_storage_may_fail_for_a_minute(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is an error, and the checkpoint that was there stays."""
    pauses: list[float] = []
    left = [StorageError("busy")] * refusals
    store = module._store

    def moody(source: Path, *given: Any) -> None:
        if left and source.name == LAST:
            raise left.pop()
        store(source, *given)

    monkeypatch.setattr("time.sleep", pauses.append)
    storage = RunStorage(tmp_path / "run")
    write(tmp_path / "here", **{LAST: "old"})
    storage.store(tmp_path / "here")
    monkeypatch.setattr(module, "_store", moody)
    write(tmp_path / "here", **{LAST: "newer"})
    if refusals == 5:
        storage.store(tmp_path / "here")
    else:
        with pytest.raises(StorageError, match="busy"):
            storage.store(tmp_path / "here")
    assert read(tmp_path / "run", LAST) == ("newer" if refusals == 5 else "old")
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_folder_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "run").write_text("a file")
    write(tmp_path / "here", **{LAST: "weights"})
    with pytest.raises(OutputError, match="run"):
        RunStorage(tmp_path / "run").store(tmp_path / "here")
