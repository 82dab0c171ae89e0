"""Searches small enough for tests: recipes of a few thousand parameters and songs of a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from model_zoo import registry
from tests.trainers.commands import RATE
from trainers.recipes.loading import load_recipe
from trainers.search.plan import Plan
from trainers.search.space import space_text

STEPS, EVERY = 6, 2


def changes(architecture: str, *more: str) -> tuple[str, ...]:
    """Changes to the recipe of an architecture that make its network and run tiny."""
    kind = registry.architecture(architecture)
    known = {field.name for field in fields(kind.Config)}
    options = {"audio_channels": 1, "stereo": "lr", "segment": RATE, "sample_rate": RATE}
    values = {**kind.small_options, **{key: options[key] for key in options if key in known}}
    losses = load_recipe(f"tune-{architecture}").supervised_losses
    loss_weights = [f"losses.{name}=0.1" for name in losses if name == "multi_resolution_stft"]
    return (
        *(f"model.options.{key}={json.dumps(value)}" for key, value in values.items()),
        "data.clip_seconds=0.5",
        "data.validation_fraction=0.4",
        f"schedule.steps={STEPS}",
        "schedule.warmup=0",
        "loop.batch_size=2",
        "loop.num_workers=0",
        f"validation.every={EVERY}",
        *loss_weights,
        *more,
    )


def plan(
    songs: Path, *more: str, architecture: str = "melroformer", trials: int = 2, seed: int = 5
) -> Plan:
    base = load_recipe(f"tune-{architecture}", changes(architecture, *more))
    text = space_text(architecture)
    return Plan(
        architecture, base.to_dict(), text, "", trials, seed, str(songs.resolve()), (), startup=4
    )


def tune(
    *arguments: str, architecture: str = "melroformer", more: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start ``stem tune`` in a separate process."""
    options = [word for change in changes(architecture, *more) for word in ("--set", change)]
    command = [sys.executable, "-m", "stemcli", "tune", architecture, "--data", "songs"]
    command += ["--output", "search", "--device", "cpu", *options, *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]
