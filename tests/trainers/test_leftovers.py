"""What killed runs leave, what two equal runs write, and a disk that is full.

Truth: names that :func:`model_zoo.files.staged` makes, the process table, bytes of files.
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
from tests.little_room import room_for
from tests.trainers.commands import changed, refused, train
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
def killed(tiny: Path, place: Path) -> Path:
    """The folder of a run that was killed while it wrote, with files of its owner."""
    folder = place / "run"
    folder.mkdir()
    for name in (*OURS, *OTHERS):
        (folder / name).write_bytes(b"half")
    (folder / f".summary.json.{RANDOM}.part").mkdir()
    return folder


def test_what_a_killed_run_left_half_written_goes_and_nothing_else(killed: Path) -> None:
    assert train().exit_code == 0
    names = {path.name for path in killed.iterdir()}
    assert not names & {*OURS}
    assert names >= {*OTHERS, f".summary.json.{RANDOM}.part", LAST}


def test_files_of_a_run_that_is_alive_stay(killed: Path) -> None:
    with lock_folder(killed):
        refused(train(), 1, "Another run is writing into run")
    assert {path.name for path in killed.iterdir()} >= {*OURS}


def members(group: int) -> Iterator[int]:
    """Processes of a group that are alive, by /proc (man 5 proc)."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group, *_ = file.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(of_group) == group and state not in "ZX":
            yield int(file.parent.name)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux alone has /proc")
def test_helpers_end_with_a_run_that_is_killed(tiny: Path) -> None:
    """torch looks every 5 s, and not while a helper is busy."""
    with running("loop.num_workers=2") as process:
        assert len([*members(process.pid)]) > 2
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        until = time.monotonic() + 3
        while [*members(process.pid)] and time.monotonic() < until:
            time.sleep(0.02)
    assert [*members(process.pid)] == []


def entries(folder: Path) -> list[dict[str, Any]]:
    """Of the history, without what a clock measured."""
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if not key.startswith("time/")}
        for line in lines
    ]


def test_equal_runs_write_equal_bytes(gan: Path, place: Path) -> None:
    for name in ("one", "two", "three"):
        assert train("--output", name, recipe="gan.yaml").exit_code == 0
    files = {path.name for path in (place / "one").iterdir() if "tfevents" not in path.name}
    assert files >= {LAST, "best.safetensors", "discriminator.safetensors", "recipe.json"}
    for other in ("two", "three"):
        assert entries(place / "one") == entries(place / other)
        for name in files - {"history.jsonl"}:
            if (place / "one" / name).is_file():
                assert (place / "one" / name).read_bytes() == (place / other / name).read_bytes()


def test_a_full_disk_is_named_with_what_helps(tiny: Path, place: Path) -> None:
    assert train().exit_code == 0
    before = (place / "run" / LAST).read_bytes()
    more = changed("schedule.steps=8", "validation.every=99")
    with room_for(30_000):
        done = train("--resume", *more, recipe="")
    refused(done, 1, "Free some space there, or choose a folder on another disk", "--resume")
    assert (place / "run" / LAST).read_bytes() == before
    assert not [*(place / "run").glob("*.part")]
    assert train("--resume", *more, recipe="").exit_code == 0
