"""``stem train --cluster`` on a cluster that is only this machine.

Reference: the same recipe without a cluster, and its number of steps.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo.catalogue.resolve import BEST, LAST, load
from model_zoo.weights import read_safetensors
from stemcli.remote_path import UrlPath
from tests.trainers.commands import set_options, train

pytestmark = pytest.mark.ray

LOCAL_RAY = {"RAY_ADDRESS": "", "RAY_USAGE_STATS_ENABLED": "0"}


class Clustered:
    """The command as an iterator over its events, in a separate process since Ray stays loaded."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "stemcli", "train", "--cluster", "--json", *arguments]
        pipe = subprocess.PIPE
        env = os.environ | LOCAL_RAY
        self.process = subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)
        self.error = ""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        yield from map(json.loads, self.process.stdout)
        self.error = self.process.communicate()[1]

    def steps(self) -> list[int]:
        return [event["step"] for event in self if event["event"] == "step_done"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    tensors, _ = read_safetensors(folder / LAST)
    return {name: value for name, value in tensors.items() if name.startswith("model.")}


@pytest.mark.slow  # test_hosts trains on two workers
def test_one_worker_gives_the_same_run_as_no_cluster(tiny: Path) -> None:
    """Weights and files are the same as without a cluster, where the run can also be resumed."""
    more = set_options("loop.num_workers=1", "optimizer.name=adamw", "log.songs=1")
    arguments = ("--recipe", "tiny.yaml", "--data", "songs", *more)
    run = Clustered(*arguments, "-o", "cluster", "--workers", "1", "--export", "mine")
    assert run.steps() == [1, 2, 3, 4]
    assert run.process.returncode == 0, run.error
    assert train(*more).exit_code == 0
    expected = weights(Path("run"))
    found = weights(Path("cluster"))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # The number of threads differs, and with it the order of sums.
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5)
    names = {path.name.partition(".17")[0] for path in Path("run").iterdir()}
    assert {path.name.partition(".17")[0] for path in Path("cluster").iterdir()} == names
    history = [(Path(name) / "history.jsonl").read_text() for name in ("cluster", "run")]
    assert len(history[0].splitlines()) == len(history[1].splitlines())
    assert load("mine").stems == load(str(Path("cluster") / BEST)).stems
    assert (
        train("--resume", "--output", "cluster", *more, *set_options("schedule.steps=6")).exit_code
        == 0
    )


@pytest.mark.slow
def test_a_run_in_a_bucket_resumes_on_another_cluster(bucket: UrlPath, tiny: Path) -> None:
    folder = bucket / "voice"
    arguments = ("--data", "songs", "-o", str(folder), "--workers", "1")
    assert Clustered(*arguments, "--recipe", "tiny.yaml").steps() == [1, 2, 3, 4]
    again = Clustered(*arguments, "--resume", "--export", "mine", *set_options("schedule.steps=6"))
    assert again.steps() == [5, 6]
    assert again.process.returncode == 0, again.error
    names = {path.name for path in folder.below()}
    assert {LAST, BEST, "recipe.json", "summary.json", "history.jsonl"} <= names
    assert not [name for name in names if name.endswith(".part")]
    with (folder / "history.jsonl").open("rb") as file:
        validated_steps = [entry["step"] for entry in map(json.loads, file) if "sdr/mean" in entry]
    assert validated_steps == [2, 4, 6]
    assert load("mine").stems == ("vocals",)


@pytest.mark.parametrize(
    ("number", "code", "sharded"),
    [
        (signal.SIGINT, 130, ()),
        pytest.param(signal.SIGTERM, 143, ("--fsdp",), marks=pytest.mark.slow),
    ],
    ids=["ctrl_c_whole", "kill_sharded"],
)
def test_signals_save_and_another_number_of_workers_resumes(
    number: int, code: int, sharded: tuple[str, ...], gan: Path
) -> None:
    arguments = ("--recipe", "gan.yaml", "--data", "songs", "-o", "run", *sharded)
    more = set_options(
        "optimizer.name=adamw", "loop.checkpoint_every=9999", "validation.every=9999"
    )
    long = set_options("schedule.steps=5000")  # events may be read late on a busy machine
    run, steps = Clustered(*arguments, "--workers", "2", *more, *long), []
    for event in run:
        if event["event"] == "step_done":
            steps.append(event["step"])
            if event["step"] == 5:
                run.process.send_signal(number)
    assert run.process.returncode == code, run.error
    assert "To resume, run the same command with --resume" in run.error
    assert steps == [*range(1, len(steps) + 1)]
    assert len(steps) < 5000
    end = len(steps) + 4
    more += set_options(f"schedule.steps={end}")
    again = Clustered(*arguments, "--workers", "1", "--resume", *more)
    assert again.steps() == [*range(len(steps) + 1, end + 1)]
    assert again.process.returncode == 0, again.error


@pytest.mark.slow  # test_hosts loses a whole host
def test_a_killed_worker_is_replaced(tiny: Path) -> None:
    """The new worker resumes from the last checkpoint, which is at most five steps old."""
    arguments = ("--recipe", "tiny.yaml", "--data", "songs", "-o", "run", "--workers", "2")
    more = set_options("schedule.steps=300", "loop.checkpoint_every=5", "validation.every=9999")
    run, events, killed = Clustered(*arguments, *more), list[dict[str, Any]](), False
    for event in run:
        events.append(event)
        if event["event"] == "step_done" and event["step"] >= 12 and not killed:
            killed = True
            os.kill(workers_of(run.process.pid)[0], signal.SIGKILL)
    assert run.process.returncode == 0, run.error
    kinds = [event["event"] for event in events]
    assert kinds.count("worker_group_lost") == 1
    first, second = (number for number, kind in enumerate(kinds) if kind == "run_started")
    before, after = (
        [event["step"] for event in part if event["event"] == "step_done"]
        for part in (events[first:second], events[second:])
    )
    begin = events[second]["first_step"]
    assert begin % 5 == 0
    assert before == [*range(1, len(before) + 1)]
    assert before[-1] - 5 <= begin <= before[-1] + 1
    assert after == [*range(begin + 1, 301)]


@pytest.mark.slow
def test_divergence_is_one_message(tiny: Path) -> None:
    arguments = ("--recipe", "tiny.yaml", "--data", "songs", "-o", "run", "--workers", "2")
    run = Clustered(*arguments, *set_options("optimizer.name=adamw", "optimizer.lr=1e30"))
    began = time.monotonic()
    run.steps()
    assert run.process.returncode == 1
    assert "Run it again with smaller learning rates" in run.error
    assert run.error.count("\n") == 1
    assert time.monotonic() - began < 60


def workers_of(driver: int) -> list[int]:
    """Training processes of the Ray that ``driver`` started."""
    import ray  # it provides psutil
    from psutil import Process

    assert ray.__version__
    descendants = Process(driver).children(recursive=True)
    found = [child for child in descendants if "RayTrainWorker" in " ".join(child.cmdline())]
    # Loader workers have the name of the worker that forked them.
    return [child.pid for child in found if child.parent() not in found]
