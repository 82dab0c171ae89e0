"""Stems are encoded in parallel, checked by a barrier that opens only if all are in progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import OutputError
from stemcli.audio.encoders import WavSink
from stemcli.audio.formats import OutputFormat
from stemcli.audio.writer import OLDER, aside, beside, leftovers
from stemcli.engine.outputs import StemWriter
from stemcli.engine.publish import StagedFiles, bring_back_older, publish_files

STEMS = ("vocals", "band")


def stem_writer(folder: Path) -> StemWriter:
    paths = {stem: folder / f"{stem}.wav" for stem in STEMS}
    return StemWriter(paths, 8000, 1, OutputFormat("wav", depth="16"), rescale=False)


def test_stems_are_encoded_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier, write = threading.Barrier(len(STEMS), timeout=30), WavSink.write

    def write_at_barrier(sink: WavSink, block: np.ndarray) -> None:
        barrier.wait()
        write(sink, block)

    monkeypatch.setattr(WavSink, "write", write_at_barrier)
    ready: list[object] = []
    with stem_writer(tmp_path) as writer:
        writer.write(np.zeros((10, 2, 1), np.float32))
        writer.commit(tmp_path / "song.wav", lambda frames: None, ready.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["band.wav", "vocals.wav"]


def write_stems(
    block: np.ndarray, folder: Path, ready: Callable[[StagedFiles], None] = lambda files: None
) -> None:
    with stem_writer(folder) as writer:
        writer.write(block)
        writer.commit(folder / "song.wav", lambda frames: None, ready)


def test_after_a_full_disk_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stem fails while the second is still being written."""
    started, finished = threading.Event(), []

    def write(sink: WavSink, block: np.ndarray) -> None:
        if block[0, 0] == 0:
            started.wait(30)
            raise OSError(28, "No space left on device")
        started.set()
        time.sleep(0.05)
        finished.append(True)

    monkeypatch.setattr(WavSink, "write", write)
    block = np.stack([np.zeros((10, 1)), np.ones((10, 1))], axis=1).astype(np.float32)
    with pytest.raises(OutputError, match="No space left"):
        write_stems(block, tmp_path / "out")
    assert finished == [True]
    assert [*tmp_path.iterdir()] == []


OLD = {"vocals.wav": b"old vocals", "band.wav": b"old band", "drums.wav": b"old drums"}


def staged(folder: Path, *old: str) -> list[tuple[Path, Path]]:
    """New files under temporary names, beside older ones."""
    for name in old:
        (folder / name).write_bytes(OLD[name])
    files = [(beside(folder / name), folder / name) for name in OLD]
    for temporary, path in files:
        temporary.write_bytes(b"new " + path.name.encode())
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("old", [(), ("vocals.wav",), (*OLD,)])
def test_new_files_replace_older_ones(tmp_path: Path, old: tuple[str, ...]) -> None:
    publish_files(staged(tmp_path, *old))
    assert contents(tmp_path) == {name: b"new " + name.encode() for name in OLD}


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
@pytest.mark.parametrize("number", range(5))
def test_older_files_come_back(
    number: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: whichever of the five renames fails, nothing but the older files is left."""
    replace, calls = Path.replace, iter(range(99))

    def failing(path: Path, target: Path) -> Path:
        if next(calls) == number:
            raise error
        return replace(path, target)

    files = staged(tmp_path, *OLD)
    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        publish_files(files)
    for temporary, _ in files:
        temporary.unlink(missing_ok=True)
    assert contents(tmp_path) == OLD


@pytest.mark.parametrize("number", range(5))
def test_ctrl_c_after_a_rename(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law: all older files are there, or after the last rename all new ones."""
    replace, calls = Path.replace, iter(range(99))

    def interrupted(path: Path, target: Path) -> None:
        replace(path, target)
        if next(calls) == number:
            raise KeyboardInterrupt

    files = staged(tmp_path, *OLD)
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish_files(files)
    for temporary, _ in files:
        temporary.unlink(missing_ok=True)
    new = {name: b"new " + name.encode() for name in OLD}
    assert {name: (tmp_path / name).read_bytes() for name in OLD} == (new if number == 4 else OLD)


def test_older_files_of_a_killed_process_are_removed_in_the_end(tmp_path: Path) -> None:
    files = staged(tmp_path, *OLD)
    aside(tmp_path / "drums.wav").write_bytes(b"older still")
    publish_files(files)
    assert contents(tmp_path) == {name: b"new " + name.encode() for name in OLD}


def test_older_files_with_long_names_are_not_confused(tmp_path: Path) -> None:
    paths = [tmp_path / f"{'x' * 50}_{stem}.wav" for stem in ("vocals", "drums")]
    for path in paths:
        aside(path).write_text(path.name)
    bring_back_older(paths)
    assert contents(tmp_path) == {path.name: path.name.encode() for path in paths}


def test_a_folder_in_the_place_of_a_stem(tmp_path: Path) -> None:
    """The rename of the last stem fails in earnest; new files of other names are removed."""
    files = staged(tmp_path, "vocals.wav")
    (tmp_path / "drums.wav").mkdir()
    with pytest.raises(OutputError, match=r"drums\.wav"):
        publish_files(files)
    for temporary, _ in files:
        temporary.unlink(missing_ok=True)
    (tmp_path / "drums.wav").rmdir()
    assert contents(tmp_path) == {"vocals.wav": OLD["vocals.wav"]}


def test_an_older_file_that_cannot_come_back_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, replace = staged(tmp_path, *OLD), Path.replace

    def failing(path: Path, target: Path) -> Path:
        if ".part" in path.name or ".old" in path.name:
            raise PermissionError(13, "Permission denied")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OutputError, match=r"It is .*vocals\.[0-9a-f]{8}\.old\.wav; rename it"):
        publish_files(files)
    (older,) = leftovers(tmp_path / "vocals.wav", OLDER)
    assert older.read_bytes() == OLD["vocals.wav"]


def test_a_failed_replacement_keeps_the_old_stems(tmp_path: Path) -> None:
    """The writer leaves what was there, and nothing else."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "vocals.wav").write_bytes(b"old")

    def block_the_second(files: StagedFiles) -> None:
        (out / "band.wav").mkdir()

    with pytest.raises(OutputError, match=r"band\.wav"):
        write_stems(np.zeros((10, 2, 1), np.float32), out, block_the_second)
    (out / "band.wav").rmdir()
    assert contents(out) == {"vocals.wav": b"old"}
