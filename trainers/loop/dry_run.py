"""A dry run: two steps of everything, and what the whole run will take."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from model_zoo import registry
from model_zoo.catalogue.resolve import LAST
from stemcli.engine.events import Event
from stemcli.process import peak_memory
from trainers.config import Recipe
from trainers.data.training_data import TrainingData, open_data
from trainers.loop.events import RunStarted, StepDone, Validated
from trainers.loop.execution import Strategy
from trainers.loop.trainer import train

STEPS = 2
"""The first warms caches and compiles; the last is what a step takes."""


@dataclass(frozen=True)
class DryRunFinished(Event):
    """What two steps, a validation and a checkpoint took.

    Attributes:
        seconds_per_step: of the last step.
        waited: seconds of it that were spent waiting for data.
        seconds_per_song: of validation; None without validation songs.
        memory: peak of the process in bytes, Python and torch included.
        device_memory: peak on the GPU in bytes; None without one.
        checkpoint: size of one on disk, in bytes.
        steps: of the whole run.
        hours: of the whole run with its validations.
        losses: of the last step, by name.
    """

    seconds_per_step: float
    waited: float
    seconds_per_song: float | None
    memory: int
    device_memory: int | None
    checkpoint: int
    steps: int
    hours: float
    losses: dict[str, float]


def dry_run(
    recipe: Recipe,
    data: Path,
    validation: tuple[Path, ...],
    worker: Strategy,
    *,
    origin: str = "",
) -> tuple[RunStarted, DryRunFinished]:
    """Do everything that the run will do, twice, in a folder that is removed.

    Clips are as long as ``data`` says, and discriminators judge from the first step. Weights &
    Biases hears nothing of it.

    Raises:
        StemError: whatever would stop the run itself.
    """
    if worker.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(worker.device)
    short, clock = _shortened(recipe), _StepClock()
    found = _look(short, data, validation, worker.world_size)
    one = replace(found, validation=found.validation[:1])
    with TemporaryDirectory(prefix="stem-dry-run-") as name:
        folder = Path(name) / "run"
        train(short, data, validation, folder, worker, clock.on_event, origin=origin, found=one)
        checkpoint = (folder / LAST).stat().st_size
    return clock.started, _estimate(recipe, clock, len(found.validation), checkpoint, worker)


def _look(
    recipe: Recipe, data: Path, validation: tuple[Path, ...], world_size: int
) -> TrainingData:
    """What there is to learn from, for a network without memory."""
    with torch.device("meta"):
        model = registry.build(recipe.model.architecture, recipe.model.options)
    return open_data(recipe, data, validation, model.stems, model.sample_rate, world_size)


class _StepClock:
    """Notes when the run tells what."""

    started: RunStarted
    step: StepDone

    def __init__(self) -> None:
        self.stepped = 0.0
        self.seconds_per_song: float | None = None

    def on_event(self, event: Event) -> None:
        """A report for :func:`~trainers.loop.trainer.train`."""
        now = time.monotonic()
        if isinstance(event, RunStarted):
            self.started = event
        elif isinstance(event, StepDone):
            self.step, self.stepped = event, now
        elif isinstance(event, Validated):
            self.seconds_per_song = now - self.stepped


def _shortened(recipe: Recipe) -> Recipe:
    # Stages are over before the first step, but the lengths of their clips are tried as well.
    stages = tuple(
        replace(stage, until=(number + 1) / 1e6)
        for number, stage in enumerate(recipe.schedule.stages)
    )
    return replace(
        recipe,
        schedule=replace(recipe.schedule, steps=STEPS, stages=stages),
        adversary=replace(recipe.adversary, start_step=0),
        loop=replace(recipe.loop, checkpoint_every=STEPS),
        validation=replace(recipe.validation, every=STEPS),
        log=replace(recipe.log, wandb=""),
    )


def _estimate(
    recipe: Recipe, clock: _StepClock, songs: int, checkpoint: int, worker: Strategy
) -> DryRunFinished:
    step, song = clock.step, clock.seconds_per_song
    validations = math.ceil(recipe.schedule.steps / recipe.validation.every)
    seconds = step.seconds * recipe.schedule.steps + validations * songs * (song or 0.0)
    on_gpu = worker.device.type == "cuda"
    return DryRunFinished(
        seconds_per_step=step.seconds,
        waited=step.waited,
        seconds_per_song=song,
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated(worker.device) if on_gpu else None,
        checkpoint=checkpoint,
        steps=recipe.schedule.steps,
        hours=seconds / 3600,
        losses=step.losses,
    )
