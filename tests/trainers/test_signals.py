"""``stem train`` in a process of its own, and signals to it and to its whole group.

Truth: the README, by which Ctrl-C and ``kill`` save a run after the current step; exit codes of a
shell.
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
from tests.trainers.commands import changed

Send = Callable[[int, int], None]


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A run that would be long, in a group of its own, after its first checkpoint."""
    command = [sys.executable, "-m", "stemcli", "train", "--recipe", "tiny.yaml", "--data", "songs"]
    many = changed(
        "schedule.steps=100000", "validation.every=99999", "loop.checkpoint_every=5", *words
    )
    with subprocess.Popen(
        [*command, "--output", "run", "--device", "cpu", *many],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 60
        while not Path("run", LAST).exists() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        yield process


def group_ends(group: int, seconds: float) -> bool:
    """Whether every process of a group goes away."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
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
        (signal.SIGTERM, 143, "Stopped.", os.kill),
        pytest.param(signal.SIGINT, 130, "Interrupted.", os.killpg, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, "Stopped.", os.killpg, marks=pytest.mark.slow),
    ],
)
def test_signals_save_the_run(
    tiny: Path, place: Path, number: signal.Signals, code: int, word: str, send: Send
) -> None:
    """``timeout``, Slurm and a terminal send them to the helpers of the data loader too."""
    with running("loop.num_workers=2") as process:
        send(process.pid, number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1]) == (
        code,
        f"{word} To resume, run the same command with --resume.",
    )
    _, texts = read_safetensors(place / "run" / LAST)
    assert json.loads(texts["progress"])["step"] >= 5
    assert group_ends(process.pid, 1)


@pytest.mark.slow
def test_helpers_do_not_outlive_a_killed_run(tiny: Path, place: Path) -> None:
    """They look every five seconds whether their parent is there."""
    with running("loop.num_workers=2") as process:
        process.kill()
        process.wait()
        assert group_ends(process.pid, 15)
