"""Runs, batches and tracks for the tests of the loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import soundfile
import torch

from tests.trainers.conftest import RATE
from trainers.config import Recipe
from trainers.data.mixing import RandomMixes
from trainers.loop.run import run
from trainers.loop.train import StepDone, Validated
from trainers.loop.worker import LocalWorker
from trainers.objectives.separation import Batch

CPU = LocalWorker(torch.device("cpu"))
HELD_OUT = 10**9
"""Number of a mix that training never draws."""


def run_steps(
    recipe: Recipe,
    steps: int,
    recordings: Path,
    folder: Path,
    *,
    resume: bool = False,
    origin: str = "",
) -> list[StepDone | Validated]:
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=steps))
    events: list[StepDone | Validated] = []
    run(recipe, recordings, (), folder, CPU, events.append, resume=resume, origin=origin)
    return events


def batch(recordings: Path, recipe: Recipe, numbers: range) -> Batch:
    mixes = RandomMixes(recipe.data, recordings, RATE, 4)
    pairs = [mixes[number] for number in numbers]
    return Batch(*(torch.stack(part) for part in zip(*pairs, strict=True)))


def make_track(mixes: RandomMixes, folder: Path) -> Path:
    """A validation track from a mix that training never draws."""
    folder.mkdir(exist_ok=True)
    mixture, stems = mixes[HELD_OUT]
    soundfile.write(folder / "mixture.wav", mixture.T.numpy(), RATE, "FLOAT")
    soundfile.write(folder / "vocals.wav", stems[0].T.numpy(), RATE, "FLOAT")
    return folder
