"""Runs killed with SIGKILL. Truth: the run that nothing disturbed, bit for bit."""

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

from model_zoo.adoption import LAST
from model_zoo.weights import read_safetensors
from tests.trainers.conftest import RATE
from trainers.config import Recipe
from trainers.data.synthetic import render_songs

STEPS = 24
SEED = int(os.environ.get("STEM_TEST_SEED", random.SystemRandom().randrange(10**6)))


@pytest.fixture
def command(tmp_path: Path, adversarial: Recipe) -> list[str]:
    """A run against an adversary on songs, with several epochs and a checkpoint every 5 steps."""
    render_songs(tmp_path / "songs", songs=3, seconds=4.0, sample_rate=RATE, seed=0)
    values = adversarial.to_dict()
    values["data"] = {"seconds": 0.5, "augmentation": {"remix": {"chance": 0.5}}}
    values["data"]["augmentation"]["gain"] = {"chance": 0.5}
    values["schedule"] |= {"steps": STEPS}
    values["loop"] |= {"save_every": 5, "workers": 1}
    values["validation"] |= {"every": 6}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(values))))
    start = [sys.executable, "-m", "stemcli", "train", "--recipe", str(recipe), "--device", "cpu"]
    return [*start, "--data", str(tmp_path / "songs"), "--json", "--output"]


def events(command: list[str], cache: Path) -> Iterator[dict[str, Any]]:
    """What a run tells; it is killed when nobody listens any more."""
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


def losses(told: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    return {event["step"]: event["losses"] for event in told if event["event"] == "step_done"}


def killed_after(step: int, command: list[str], cache: Path) -> list[dict[str, Any]]:
    """What a run told until it was killed, which was when it had told of ``step``."""
    told = []
    running = events(command, cache)
    for event in running:
        told.append(event)
        if event["event"] == "step_done" and event["step"] == step:
            running.close()
            break
    return told


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_bit_for_bit(command: list[str], tmp_path: Path, kills: int) -> None:
    """At random steps, in the middle of an epoch too; the whole checkpoint is equal at the end."""
    cache, chance = tmp_path / "cache", random.Random(SEED)
    whole = losses([*events([*command, str(tmp_path / "whole")], cache)])
    assert len(whole) == STEPS
    folder, heard = tmp_path / "parts", {}
    typed = [*command, str(folder)]
    for _ in range(kills):
        going_on = ["--resume"] if (folder / LAST).exists() else []
        first = max(heard, default=0) if going_on else 0
        step = chance.randint(min(first + 1, STEPS - 1), STEPS - 1)
        heard |= losses(killed_after(step, [*typed, *going_on], cache))
        print(f"killed after step {max(heard)} (STEM_TEST_SEED={SEED})")
    going_on = ["--resume"] if (folder / LAST).exists() else []
    heard |= losses([*events([*typed, *going_on], cache)])
    assert heard == whole
    (found, said), (expected, told) = (
        read_safetensors(tmp_path / name / LAST) for name in ("parts", "whole")
    )
    assert said == told
    assert all(found[name].equal(value) for name, value in expected.items())
