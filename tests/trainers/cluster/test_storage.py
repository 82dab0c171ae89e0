"""Storage of runs, on a disk and behind a URL."""

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
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "disk":
        return tmp_path / "run"
    return as_path(f"memory://runs/{uuid4().hex}")


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def read(output: Path, name: str) -> str:
    with (output / name).open("rb") as file:
        return bytes(file.read()).decode()


def test_stored_files_can_be_fetched(output: Path, tmp_path: Path) -> None:
    local, other_machine = tmp_path / "here", tmp_path / "there"
    write(local, **{LAST: "weights", "recipe.json": "{}", "events.1": "curves", ".half": "rubbish"})
    write(local / "excerpts" / "step 1", **{"mix ture.flac": "sound"})
    storage = RunStorage(output)
    assert not storage.has_checkpoint()
    storage.store(local)
    assert storage.has_checkpoint()
    assert read(output, "excerpts/step 1/mix ture.flac") == "sound"
    assert not (output / ".half").exists()
    RunStorage(output).fetch(other_machine)
    found = {
        str(path.relative_to(other_machine)): path
        for path in other_machine.rglob("*")
        if path.is_file()
    }
    assert {name: path.read_text() for name, path in found.items()} == {
        LAST: "weights",
        "recipe.json": "{}",
        "excerpts/step 1/mix ture.flac": "sound",
    }


def test_removed_files_are_removed_from_the_storage(output: Path, tmp_path: Path) -> None:
    """Files that an earlier worker stored and partial files of a killed one are removed too."""
    local, other_machine = tmp_path / "here", tmp_path / "there"
    write(local, **{LAST: "weights", ".last.safetensors.1.part": "half"})
    write(local / "excerpts", **{"1.flac": "sound", "2.flac": "sound"})
    RunStorage(output).store(local)
    (output / ".x.part").store(local / LAST) if isinstance(output, UrlPath) else write(
        output, **{".x.part": "half"}
    )
    storage = RunStorage(output)
    storage.fetch(other_machine)
    assert not (output / ".x.part").exists()
    (other_machine / "excerpts" / "1.flac").unlink()
    storage.store(other_machine)
    assert not (output / "excerpts/1.flac").exists()
    assert (output / "excerpts/2.flac").exists()


def test_a_superseded_group_stores_no_checkpoint(output: Path, tmp_path: Path) -> None:
    """The checkpoint of another group stays, even if it takes over during the upload."""
    write(tmp_path / "here", **{LAST: "ours", "best.safetensors": "ours"})
    checks: list[int] = []

    def require_current() -> None:
        checks.append(1)
        if len(checks) == 2:
            raise RuntimeError("another group")

    storage = RunStorage(output)
    with pytest.raises(RuntimeError, match="another group"):
        storage.store(tmp_path / "here", require_current)
    assert not storage.has_checkpoint()


def test_a_single_file_can_be_fetched(output: Path, tmp_path: Path) -> None:
    write(tmp_path / "here", **{LAST: "weights", "recipe.json": "{}"})
    RunStorage(output).store(tmp_path / "here")
    RunStorage(output).fetch(tmp_path / "there", LAST)
    assert [path.name for path in (tmp_path / "there").iterdir()] == [LAST]


def test_only_changed_files_are_stored_and_the_checkpoint_last(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, stored = tmp_path / "here", []
    store = module._store

    def record_and_store(source: Path, *args: Any) -> None:
        stored.append(source.name)
        store(source, *args)

    monkeypatch.setattr(module, "_store", record_and_store)
    write(local, **{LAST: "1", "best.safetensors": "1", "zero.json": "0"})
    storage = RunStorage(output)
    storage.store(local)
    assert (stored[-1], sorted(stored)) == (LAST, ["best.safetensors", LAST, "zero.json"])
    stored.clear()
    write(local, **{LAST: "2", "best.safetensors": "22"})
    os.utime(local / LAST, ns=(0, 0))
    storage.store(local)
    assert stored == ["best.safetensors", LAST]
    assert read(output, LAST) == "2"
    stored.clear()
    storage.store(local)
    assert not stored


def test_fetched_files_are_not_stored_again(output: Path, tmp_path: Path) -> None:
    write(tmp_path / "here", **{LAST: "weights"})
    RunStorage(output).store(tmp_path / "here")
    other = RunStorage(output)
    other.fetch(tmp_path / "there")
    assert [*other._changed(tmp_path / "there")] == []


@pytest.mark.parametrize("refusals", [5, 6])
def test_storing_is_retried_for_a_minute(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After that it is an error, and the earlier checkpoint stays."""
    delays: list[float] = []
    errors = [StorageError("busy")] * refusals
    store = module._store

    def fail_and_store(source: Path, *args: Any) -> None:
        if errors and source.name == LAST:
            raise errors.pop()
        store(source, *args)

    monkeypatch.setattr("time.sleep", delays.append)
    storage = RunStorage(tmp_path / "run")
    write(tmp_path / "here", **{LAST: "old"})
    storage.store(tmp_path / "here")
    monkeypatch.setattr(module, "_store", fail_and_store)
    write(tmp_path / "here", **{LAST: "newer"})
    if refusals == 5:
        storage.store(tmp_path / "here")
    else:
        with pytest.raises(StorageError, match="busy"):
            storage.store(tmp_path / "here")
    assert read(tmp_path / "run", LAST) == ("newer" if refusals == 5 else "old")
    assert delays == [2.0, 4.0, 8.0, 16.0, 32.0]


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (tmp_path / "run").write_text("a file")
    write(tmp_path / "here", **{LAST: "weights"})
    with pytest.raises(OutputError, match="run"):
        RunStorage(tmp_path / "run").store(tmp_path / "here")
