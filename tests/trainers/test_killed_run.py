"""Runs killed with SIGKILL. Reference: the uninterrupted run, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_zoo.catalogue.resolve import LAST
from model_zoo.weights import read_safetensors
from tests.trainers.commands import RATE
from trainers.config import Recipe
from trainers.data.synthetic import render_songs

STEPS, CHECKPOINT_EVERY = 24, 5  # in total, and between two checkpoints
SEED = int(os.environ.get("STEM_TEST_SEED", random.SystemRandom().randrange(10**6)))


@pytest.fixture
def command(tmp_path: Path, adversarial: Recipe) -> list[str]:
    """A command for an adversarial run on songs, with several epochs and checkpoints."""
    render_songs(tmp_path / "songs", songs=3, seconds=4.0, sample_rate=RATE, seed=0)
    values = adversarial.to_dict()
    values["data"] = {"clip_seconds": 0.5, "augmentation": {"remix": {"chance": 0.5}}}
    values["data"]["augmentation"]["gain"] = {"chance": 0.5}
    values["schedule"] |= {"steps": STEPS}
    values["loop"] |= {"checkpoint_every": CHECKPOINT_EVERY, "num_workers": 1}
    values["validation"] |= {"every": 6}
    values["log"] |= {"songs": 1}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(values))))
    start = [sys.executable, "-m", "stemcli", "train", "--recipe", str(recipe), "--device", "cpu"]
    return [*start, "--data", str(tmp_path / "songs"), "--json", "--output"]


def events(command: list[str], cache: Path) -> Iterator[dict[str, Any]]:
    """The events of a run, which is killed when the iterator is closed."""
    environment = {**os.environ, "STEM_CACHE": str(cache)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                yield json.loads(line)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def losses(reported: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    return {event["step"]: event["losses"] for event in reported if event["event"] == "step_done"}


def killed_after(steps: int, command: list[str], cache: Path) -> list[dict[str, Any]]:
    """The events of a run that is killed after so many steps."""
    reported: list[dict[str, Any]] = []
    running = events(command, cache)
    for event in running:
        reported.append(event)
        if len(losses(reported)) == steps:
            running.close()
            break
    return reported


@pytest.mark.parametrize(
    "kills",
    [pytest.param(1, marks=pytest.mark.learns), pytest.param(8, marks=pytest.mark.slow)],
)
def test_a_killed_run_resumes_bit_for_bit(command: list[str], tmp_path: Path, kills: int) -> None:
    """Kills come at random steps, also within an epoch; the final checkpoints are equal.

    The last kills may come after the last step: then nothing is left to do.
    """
    cache, rng, folder = tmp_path / "cache", random.Random(SEED), tmp_path / "parts"
    full = losses([*events([*command, str(tmp_path / "full")], cache)])
    assert len(full) == STEPS
    for _ in range(kills):
        steps = rng.randint(1, CHECKPOINT_EVERY + 3)
        killed = losses(killed_after(steps, start_or_resume(command, folder), cache))
        print(f"killed after step {max(killed, default=STEPS)} (STEM_TEST_SEED={SEED})")
        assert len(killed) == steps or steps_of(folder) == STEPS
        assert killed == {step: full[step] for step in killed}
    resumed = losses([*events(start_or_resume(command, folder), cache)])
    assert resumed == {step: full[step] for step in resumed}
    (found, texts), (expected, expected_texts) = (
        read_safetensors(tmp_path / name / LAST) for name in ("parts", "full")
    )
    assert texts == expected_texts
    assert found.keys() == expected.keys()
    assert all(found[name].equal(value) for name, value in expected.items())


def steps_of(folder: Path) -> int:
    """The number of steps in the checkpoint of a run."""
    _, texts = read_safetensors(folder / LAST)
    return int(json.loads(texts["progress"])["step"])


def start_or_resume(command: list[str], folder: Path) -> list[str]:
    """Start the run, or resume it if it has a checkpoint."""
    return [*command, str(folder), *(["--resume"] if (folder / LAST).exists() else [])]
