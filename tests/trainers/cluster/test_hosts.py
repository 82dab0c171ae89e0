"""Training over two hosts that are joined by a cable, which is cut.

Truth: one process with the batches of both (losses are means over clips, so that the mean of two
gradients is the gradient of the whole), and the number of steps that the recipe asks for.
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
SAVED = 10
"""Steps between two checkpoints."""

CUT = 25
"""Step after which the second host is cut off, or a late one comes."""


@pytest.fixture
def cluster() -> Iterator[Hosts]:
    """A head, of one core; sockets want a short path."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as made:
        made.add()
        yield made


@pytest.fixture
def adamw(adversarial: Recipe) -> Recipe:
    """The tiny adversarial recipe; Muon's bfloat16 would make more of the last digits."""
    values = adversarial.to_dict() | {"data": {"clip_seconds": 0.5}}
    values["optimizer"] |= {"name": "adamw", "lr": 1e-3}
    return Recipe.from_dict(values)


def longer(recipe: Recipe, steps: int = STEPS) -> Recipe:
    """Enough steps to be cut off in, of half a second each."""
    return replace(
        recipe,
        schedule=replace(recipe.schedule, steps=steps),
        data=replace(recipe.data, clip_seconds=4.0),
        loop=replace(recipe.loop, checkpoint_every=SAVED),
    )


class Training:
    """``stem train --cluster`` on the head, with its events."""

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
        """For the reader of the test's output."""
        print(f"{time.monotonic() - self.began:6.1f} s: {what}")


def test_two_hosts_learn_what_one_process_learns_from_both_batches(
    cluster: Hosts, workdir: Path, adamw: Recipe
) -> None:
    cluster.add()
    half = replace(adamw, loop=replace(adamw.loop, batch_size=1))
    events = [*Training(cluster, half, workdir, workdir / "both", "--workers", "2")]
    (started,) = [event for event in events if event["event"] == "worker_group_started"]
    assert len(started["hosts"]) == 2
    train(adamw, workdir / "songs", (), workdir / "alone", CPU, lambda event: None)
    (shared, _), (whole, _) = (
        read_safetensors(workdir / name / LAST) for name in ("both", "alone")
    )
    networks = [name for name in whole if name.split(".")[0] in ("model", "discriminator", "ema")]
    assert {name.split(".")[0] for name in networks} == {"model", "discriminator", "ema"}
    for name in networks:
        torch.testing.assert_close(shared[name], whole[name], rtol=0, atol=1e-5)


def test_training_goes_on_when_a_host_is_cut_off(
    cluster: Hosts, workdir: Path, adamw: Recipe
) -> None:
    """With one host that is left, from the last checkpoint, to the same number of steps."""
    cluster.add()
    out, groups, steps, firsts = workdir / "out", [], [], []
    training = Training(cluster, longer(adamw), workdir, out, "--workers", "1:2")
    for event in training:
        match event["event"]:
            case "worker_group_started":
                groups.append(len(event["hosts"]))
            case "run_started":
                firsts.append(event["first_step"])
            case "step_done":
                steps.append(event["step"])
                if event["step"] == CUT and len(firsts) == 1:
                    cluster.cut(2)
                    training.note("host 2 is cut off")
                    time.sleep(2)
                    cluster.kill(2)
                    training.note("its processes are killed")
    assert groups == [2, 1]
    assert firsts == [0, CUT // SAVED * SAVED]
    assert_whole(out, steps)


@pytest.mark.slow
def test_a_run_of_two_waits_for_the_host_that_comes_back(
    cluster: Hosts, workdir: Path, adamw: Recipe
) -> None:
    cluster.add()
    out, groups, steps, waits = workdir / "out", [], [], 0
    training = Training(cluster, longer(adamw), workdir, out, "--workers", "2")
    for event in training:
        match event["event"]:
            case "worker_group_started":
                groups.append(len(event["hosts"]))
            case "worker_group_awaited":
                waits += 1
                if waits == 1:
                    training.note("host 3 comes")
                    cluster.add()
            case "step_done":
                steps.append(event["step"])
                if event["step"] == CUT and len(groups) == 1:
                    cluster.cut(2)
                    cluster.kill(2)
                    training.note("host 2 is cut off, its processes are killed")
    assert groups == [2, 2]
    assert waits
    assert_whole(out, steps)


@pytest.mark.slow
def test_a_late_host_is_taken_in(cluster: Hosts, workdir: Path, adamw: Recipe) -> None:
    """What was learned until then is saved first: no step is done twice."""
    out, groups, steps = workdir / "out", [], []
    training = Training(cluster, longer(adamw, 3 * STEPS), workdir, out, "--workers", "1:2")
    for event in training:
        if event["event"] == "worker_group_started":
            groups.append(len(event["hosts"]))
        if event["event"] == "step_done":
            steps.append(event["step"])
            if event["step"] == CUT:
                training.note("host 2 comes")
                cluster.add()
    assert groups == [1, 2]
    assert steps == [*range(1, 3 * STEPS + 1)]
    assert_whole(out, steps)


def assert_whole(out: Path, steps: list[int]) -> None:
    """All steps were done, the last checkpoint says so, and the model can be used."""
    last = max(steps)
    assert {*steps} == {*range(1, last + 1)}
    progress = json.loads(read_safetensors(out / LAST)[1]["progress"])
    assert progress["step"] == last == steps[-1]
    load(str(out / BEST))
