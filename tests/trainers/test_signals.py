"""Signals to a ``stem train`` process and to its process group.

Expected: by the README, Ctrl-C and ``kill`` save the run after the current step; exit codes as in
a shell.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from model_zoo.catalogue.resolve import LAST
from model_zoo.weights import read_safetensors
from tests.trainers.commands import set_options

Send = Callable[[int, int], None]


@contextmanager
def running(*settings: str) -> Iterator[subprocess.Popen[str]]:
    """A long run in its own process group, after its first checkpoint."""
    command = [sys.executable, "-m", "stemcli", "train", "--recipe", "tiny.yaml", "--data", "songs"]
    options = set_options(
        "schedule.steps=100000", "validation.every=99999", "loop.checkpoint_every=5", *settings
    )
    with subprocess.Popen(
        [*command, "--output", "run", "--device", "cpu", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 60
        while not Path("run", LAST).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process


def group_ends(group: int, seconds: float) -> bool:
    """Whether every process of a group ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("number", "code", "word", "send"),
    [
        (signal.SIGINT, 130, "Interrupted.", os.kill),
        pytest.param(signal.SIGTERM, 143, "Stopped.", os.kill, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "Interrupted.", os.killpg, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, "Stopped.", os.killpg, marks=pytest.mark.slow),
    ],
)
def test_signals_save_the_run(
    tiny: Path, workdir: Path, number: signal.Signals, code: int, word: str, send: Send
) -> None:
    """``timeout``, Slurm and terminals send signals to the workers of the data loader too."""
    with running("loop.num_workers=2") as process:
        send(process.pid, number)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.splitlines()[-1]) == (
        code,
        f"{word} To resume, run the same command with --resume.",
    )
    _, texts = read_safetensors(workdir / "run" / LAST)
    assert json.loads(texts["progress"])["step"] >= 5
    assert group_ends(process.pid, 1)


@pytest.mark.slow
def test_loader_workers_do_not_outlive_a_killed_run(tiny: Path, workdir: Path) -> None:
    """They check every five seconds whether their parent is alive."""
    with running("loop.num_workers=2") as process:
        process.kill()
        process.wait()
        assert group_ends(process.pid, 15)
