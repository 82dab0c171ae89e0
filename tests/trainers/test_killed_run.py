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

from model_zoo.catalogue.resolve import LAST
from model_zoo.weights import read_safetensors
from tests.trainers.commands import RATE
from trainers.config import Recipe
from trainers.data.synthetic import render_songs

STEPS, SAVED = 24, 5  # in all, and between two checkpoints
SEED = int(os.environ.get("STEM_TEST_SEED", random.SystemRandom().randrange(10**6)))


@pytest.fixture
def command(tmp_path: Path, adversarial: Recipe) -> list[str]:
    """A run against an adversary on songs, with several epochs and checkpoints on the way."""
    render_songs(tmp_path / "songs", songs=3, seconds=4.0, sample_rate=RATE, seed=0)
    values = adversarial.to_dict()
    values["data"] = {"clip_seconds": 0.5, "augmentation": {"remix": {"chance": 0.5}}}
    values["data"]["augmentation"]["gain"] = {"chance": 0.5}
    values["schedule"] |= {"steps": STEPS}
    values["loop"] |= {"checkpoint_every": SAVED, "num_workers": 1}
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


def killed_after(steps: int, command: list[str], cache: Path) -> list[dict[str, Any]]:
    """What a run told until it was killed, which was when it had told of so many steps."""
    told: list[dict[str, Any]] = []
    running = events(command, cache)
    for event in running:
        told.append(event)
        if len(losses(told)) == steps:
            running.close()
            break
    return told


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_bit_for_bit(command: list[str], tmp_path: Path, kills: int) -> None:
    """At random steps, in the middle of an epoch too; the whole checkpoint is equal at the end."""
    cache, chance, folder = tmp_path / "cache", random.Random(SEED), tmp_path / "parts"
    whole = losses([*events([*command, str(tmp_path / "whole")], cache)])
    assert len(whole) == STEPS
    for _ in range(kills):
        steps = chance.randint(1, SAVED + 3)
        heard = losses(killed_after(steps, typed(command, folder), cache))
        print(f"killed after step {max(heard)} (STEM_TEST_SEED={SEED})")
        assert heard == {step: whole[step] for step in heard}
    rest = losses([*events(typed(command, folder), cache)])
    assert rest == {step: whole[step] for step in rest}
    (found, said), (expected, told) = (
        read_safetensors(tmp_path / name / LAST) for name in ("parts", "whole")
    )
    assert said == told
    assert found.keys() == expected.keys()
    assert all(found[name].equal(value) for name, value in expected.items())


def typed(command: list[str], folder: Path) -> list[str]:
    """Begin, or go on where there is something to go on from."""
    return [*command, str(folder), *(["--resume"] if (folder / LAST).exists() else [])]
