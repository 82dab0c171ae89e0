"""Training on two hosts whose network connection is cut.

Reference: one process with the batches of both (losses are means over clips, so the mean of two
gradients is the gradient of the full batch), and the recipe's number of steps.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from model_zoo.catalogue.resolve import BEST, LAST, load
from model_zoo.weights import read_safetensors
from tests.stemcli.batch.hosts import Hosts, hosts
from tests.trainers.runs import CPU
from trainers.config import Recipe
from trainers.loop.trainer import train

pytestmark = pytest.mark.root

STEPS = 60
CHECKPOINT_EVERY = 10
"""Steps between two checkpoints."""

CUT = 25
"""Step after which the second host is cut off, or a late one joins."""


@pytest.fixture
def cluster() -> Iterator[Hosts]:
    """A cluster with a head of one core; its sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as cluster_hosts:
        cluster_hosts.add()
        yield cluster_hosts


@pytest.fixture
def adamw(adversarial: Recipe) -> Recipe:
    """The tiny adversarial recipe with AdamW; Muon's bfloat16 would amplify rounding."""
    values = adversarial.to_dict() | {"data": {"clip_seconds": 0.5}}
    values["optimizer"] |= {"name": "adamw", "lr": 1e-3}
    return Recipe.from_dict(values)


def with_long_steps(recipe: Recipe, steps: int = STEPS) -> Recipe:
    """The recipe with enough steps for a cut, of half a second each."""
    return replace(
        recipe,
        schedule=replace(recipe.schedule, steps=steps),
        data=replace(recipe.data, clip_seconds=4.0),
        loop=replace(recipe.loop, checkpoint_every=CHECKPOINT_EVERY),
    )


class Training:
    """A ``stem train --cluster`` process on the head, as an iterator over its events."""

    def __init__(self, cluster: Hosts, recipe: Recipe, data: Path, out: Path, *more: str) -> None:
        self.cluster = cluster
        file = data / "plan.yaml"
        file.write_text(yaml.safe_dump(json.loads(json.dumps(recipe.to_dict()))))
        songs = str(data / "songs")
        words = ["-m", "stemcli", "train", "--cluster", "--recipe", str(file), "--data", songs]
        self.command = cluster.command(1, [*words, "-o", str(out), "--json", *more])
        self.began = time.monotonic()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        env = self.cluster.environment
        with subprocess.Popen(self.command, env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                event = json.loads(line)
                if (
                    str(event.get("event")).startswith("worker_group")
                    or event.get("event") == "run_started"
                ):
                    self.note(event)
                yield event
        assert process.returncode == 0
        self.note("the end")

    def note(self, what: object) -> None:
        """Print an event with its time, for readers of the output."""
        print(f"{time.monotonic() - self.began:6.1f} s: {what}")


def test_two_hosts_train_like_one_process_with_both_batches(
    cluster: Hosts, workdir: Path, adamw: Recipe
) -> None:
    cluster.add()
    half_batch = replace(adamw, loop=replace(adamw.loop, batch_size=1))
    events = [*Training(cluster, half_batch, workdir, workdir / "both", "--workers", "2")]
    (started,) = [event for event in events if event["event"] == "worker_group_started"]
    assert len(started["hosts"]) == 2
    train(adamw, workdir / "songs", (), workdir / "alone", CPU, lambda event: None)
    (shared, _), (expected, _) = (
        read_safetensors(workdir / name / LAST) for name in ("both", "alone")
    )
    networks = [
        name for name in expected if name.split(".")[0] in ("model", "discriminator", "ema")
    ]
    assert {name.split(".")[0] for name in networks} == {"model", "discriminator", "ema"}
    for name in networks:
        torch.testing.assert_close(shared[name], expected[name], rtol=0, atol=1e-5)


def test_training_resumes_when_a_host_is_cut_off(
    cluster: Hosts, workdir: Path, adamw: Recipe
) -> None:
    """The remaining host resumes from the last checkpoint and finishes all steps."""
    cluster.add()
    out, group_sizes, steps, first_steps = workdir / "out", [], [], []
    training = Training(cluster, with_long_steps(adamw), workdir, out, "--workers", "1:2")
    for event in training:
        match event["event"]:
            case "worker_group_started":
                group_sizes.append(len(event["hosts"]))
            case "run_started":
                first_steps.append(event["first_step"])
            case "step_done":
                steps.append(event["step"])
                if event["step"] == CUT and len(first_steps) == 1:
                    cluster.cut(2)
                    training.note("host 2 is cut off")
                    time.sleep(2)
                    cluster.kill(2)
                    training.note("its processes are killed")
    assert group_sizes == [2, 1]
    assert first_steps == [0, CUT // CHECKPOINT_EVERY * CHECKPOINT_EVERY]
    assert_complete(out, steps)


@pytest.mark.slow
def test_a_run_of_two_workers_waits_for_a_new_host(
    cluster: Hosts, workdir: Path, adamw: Recipe
) -> None:
    cluster.add()
    out, group_sizes, steps, waits = workdir / "out", [], [], 0
    training = Training(cluster, with_long_steps(adamw), workdir, out, "--workers", "2")
    for event in training:
        match event["event"]:
            case "worker_group_started":
                group_sizes.append(len(event["hosts"]))
            case "worker_group_awaited":
                waits += 1
                if waits == 1:
                    training.note("host 3 comes")
                    cluster.add()
            case "step_done":
                steps.append(event["step"])
                if event["step"] == CUT and len(group_sizes) == 1:
                    cluster.cut(2)
                    cluster.kill(2)
                    training.note("host 2 is cut off, its processes are killed")
    assert group_sizes == [2, 2]
    assert waits
    assert_complete(out, steps)


@pytest.mark.slow
def test_a_late_host_joins_the_run(cluster: Hosts, workdir: Path, adamw: Recipe) -> None:
    """Progress is saved first, so that no step is repeated."""
    out, group_sizes, steps = workdir / "out", [], []
    training = Training(
        cluster, with_long_steps(adamw, 3 * STEPS), workdir, out, "--workers", "1:2"
    )
    for event in training:
        if event["event"] == "worker_group_started":
            group_sizes.append(len(event["hosts"]))
        if event["event"] == "step_done":
            steps.append(event["step"])
            if event["step"] == CUT:
                training.note("host 2 comes")
                cluster.add()
    assert group_sizes == [1, 2]
    assert steps == [*range(1, 3 * STEPS + 1)]
    assert_complete(out, steps)


def assert_complete(out: Path, steps: list[int]) -> None:
    """All steps were done, the last checkpoint has the last step, and the model loads."""
    last = max(steps)
    assert {*steps} == {*range(1, last + 1)}
    progress = json.loads(read_safetensors(out / LAST)[1]["progress"])
    assert progress["step"] == last == steps[-1]
    load(str(out / BEST))
