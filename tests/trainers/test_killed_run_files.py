"""Partial files and processes of killed runs, reproducible files of runs, and full disks.

Expected: partial files named as by :func:`model_zoo.files.staged`, the process table, and the
bytes of files.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_zoo.catalogue.resolve import LAST
from tests.full_disk import file_limit
from tests.trainers.commands import assert_error, set_options, train
from tests.trainers.test_signals import running
from trainers.loop.checks import lock_folder

RANDOM = "0123456789abcdef" * 2
OURS = [f".{name}.{RANDOM}.part" for name in (LAST, "best.safetensors", "recipe.json")]
OTHERS = [
    f".mine.safetensors.{RANDOM}.part",
    f".{LAST}.part",
    f"{LAST}.{RANDOM}.part",
    f".{LAST}.{RANDOM}.part.bak",
    "song.part",
]


@pytest.fixture
def killed_run(tiny: Path, workdir: Path) -> Path:
    """The folder of a run that was killed while writing, which also holds files of the user."""
    folder = workdir / "run"
    folder.mkdir()
    for name in (*OURS, *OTHERS):
        (folder / name).write_bytes(b"half")
    (folder / f".summary.json.{RANDOM}.part").mkdir()
    return folder


def test_only_partial_files_of_a_killed_run_are_removed(killed_run: Path) -> None:
    assert train().exit_code == 0
    names = {path.name for path in killed_run.iterdir()}
    assert not names & {*OURS}
    assert names >= {*OTHERS, f".summary.json.{RANDOM}.part", LAST}


def test_partial_files_of_an_active_run_are_kept(killed_run: Path) -> None:
    with lock_folder(killed_run):
        assert_error(train(), 1, "Another run is writing into run")
    assert {path.name for path in killed_run.iterdir()} >= {*OURS}


def live_processes(group: int) -> Iterator[int]:
    """Live processes of a process group, from /proc (man 5 proc)."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group, *_ = file.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        if int(process_group) == group and state not in "ZX":
            yield int(file.parent.name)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_loader_workers_end_with_a_killed_run(tiny: Path) -> None:
    """torch itself only checks every 5 s, and not while a worker is busy."""
    with running("loop.num_workers=2") as process:
        assert len([*live_processes(process.pid)]) > 2
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        deadline = time.monotonic() + 3
        while [*live_processes(process.pid)] and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [*live_processes(process.pid)] == []


def history_entries(folder: Path) -> list[dict[str, Any]]:
    """Entries of the history, without time measurements."""
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if not key.startswith("time/")}
        for line in lines
    ]


def test_equal_runs_write_equal_bytes(gan: Path, workdir: Path) -> None:
    options = set_options("log.songs=1")
    for name in ("one", "two", "three"):
        assert train("--output", name, *options, recipe="gan.yaml").exit_code == 0
    one = contents(workdir / "one")
    assert {LAST, "best.safetensors", "discriminator.safetensors", "recipe.json"} <= one.keys()
    assert any(name.startswith("excerpts/") for name in one)
    for other in ("two", "three"):
        assert history_entries(workdir / "one") == history_entries(workdir / other)
        assert contents(workdir / other) == one


def contents(run: Path) -> dict[str, bytes]:
    """The bytes of all files except the logs that contain times."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and "tfevents" not in path.name and path.name != "history.jsonl"
    }


def test_a_full_disk_says_what_to_do(tiny: Path, workdir: Path) -> None:
    assert train().exit_code == 0
    before = (workdir / "run" / LAST).read_bytes()
    more = set_options("schedule.steps=8", "validation.every=99")
    with file_limit(30_000):
        result = train("--resume", *more, recipe="")
    assert_error(result, 1, "Free some space there, or choose a folder on another disk", "--resume")
    assert (workdir / "run" / LAST).read_bytes() == before
    assert not [*(workdir / "run").glob("*.part")]
    assert train("--resume", *more, recipe="").exit_code == 0
