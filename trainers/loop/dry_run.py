"""Dry run: two steps, a validation and a checkpoint, and an estimate of the whole run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from model_zoo.catalogue.resolve import LAST
from stemcli.engine.events import Event
from stemcli.process import peak_memory
from trainers.config import Recipe
from trainers.data.training_data import open_data_of
from trainers.loop.events import RunStarted, StepDone, Validated
from trainers.loop.execution import Strategy
from trainers.loop.trainer import train

STEPS = 2
"""The first step warms caches and compiles; the last is timed."""


@dataclass(frozen=True)
class DryRunFinished(Event):
    """A dry run is over: time, memory and disk that the run needs.

    Attributes:
        seconds_per_step: time of the last step.
        waited: seconds of that step spent waiting for data.
        seconds_per_song: validation time; None without validation songs.
        memory: peak memory of the process in bytes, Python and torch included.
        device_memory: peak on the GPU in bytes; None without one.
        checkpoint: size of a checkpoint in bytes.
        steps: steps of the whole run.
        hours: estimated time of the whole run with its validations.
        losses: losses of the last step, by name.
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
    strategy: Strategy,
    *,
    origin: str = "",
) -> tuple[RunStarted, DryRunFinished]:
    """Run two steps, a validation and a checkpoint in a temporary folder.

    Clips have the length of the recipe and discriminators train from the first step. Nothing is
    sent to Weights & Biases.

    Raises:
        StemError: any error that would stop the run itself.
    """
    if strategy.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(strategy.device)
    short, clock = _shortened(recipe), _StepClock()
    found = open_data_of(short, data, validation, strategy.world_size)
    one = replace(found, validation=found.validation[:1])
    with TemporaryDirectory(prefix="stem-dry-run-") as name:
        folder = Path(name) / "run"
        train(
            short,
            data,
            validation,
            folder,
            strategy,
            clock.on_event,
            origin=origin,
            training_data=one,
        )
        checkpoint = (folder / LAST).stat().st_size
    return clock.started, _estimate(recipe, clock, len(found.validation), checkpoint, strategy)


class _StepClock:
    """Records the times of the events of a run."""

    started: RunStarted
    step: StepDone

    def __init__(self) -> None:
        self.stepped = 0.0
        self.seconds_per_song: float | None = None

    def on_event(self, event: Event) -> None:
        """Handler of the events of :func:`~trainers.loop.trainer.train`."""
        now = time.monotonic()
        if isinstance(event, RunStarted):
            self.started = event
        elif isinstance(event, StepDone):
            self.step, self.stepped = event, now
        elif isinstance(event, Validated):
            self.seconds_per_song = now - self.stepped


def _shortened(recipe: Recipe) -> Recipe:
    # The stages end before the first step, but their clip lengths are checked as well.
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
    recipe: Recipe, clock: _StepClock, songs: int, checkpoint: int, strategy: Strategy
) -> DryRunFinished:
    step, song = clock.step, clock.seconds_per_song
    validations = math.ceil(recipe.schedule.steps / recipe.validation.every)
    seconds = step.seconds * recipe.schedule.steps + validations * songs * (song or 0.0)
    on_gpu = strategy.device.type == "cuda"
    return DryRunFinished(
        seconds_per_step=step.seconds,
        waited=step.waited,
        seconds_per_song=song,
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated(strategy.device) if on_gpu else None,
        checkpoint=checkpoint,
        steps=recipe.schedule.steps,
        hours=seconds / 3600,
        losses=step.losses,
    )
