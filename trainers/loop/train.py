"""The training loop: batches in, steps taken, progress reported.

It knows neither Ray nor the terminal. Where it runs is told by a
:class:`~trainers.loop.worker.Worker`; who wants to know how it goes passes ``report``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from trainers.config import Recipe
from trainers.loop.checkpoint import save_checkpoint
from trainers.loop.schedule import factor
from trainers.loop.state import TrainState
from trainers.loop.validation import ValidationTrack, validate
from trainers.loop.worker import Worker
from trainers.objectives.separation import Batch, Separation

Mixes = Dataset[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class StepDone:
    """One optimizer step.

    Attributes:
        step: number of steps done.
        losses: every named loss, unweighted, and their weighted ``total``.
        gradient_norm: before clipping.
        lr_factor: learning rate relative to its base.
        seconds: wall time of the step, waiting for data included.
    """

    step: int
    losses: dict[str, float]
    gradient_norm: float
    lr_factor: float
    seconds: float


@dataclass(frozen=True)
class Validated:
    """SDR of the averaged weights, per stem in dB."""

    step: int
    sdr: dict[str, float]
    best: bool


Report = Callable[[StepDone | Validated], None]


def train(
    state: TrainState,
    recipe: Recipe,
    mixes: Mixes,
    tracks: list[ValidationTrack],
    folder: Path,
    worker: Worker,
    report: Report,
    on_best: Callable[[TrainState], None],
) -> None:
    """Train from ``state.step`` to the last step of the recipe.

    Checkpoints go to ``folder``; ``on_best`` is called when the averaged weights reach a new best
    validation SDR.
    """
    objective = Separation(recipe.losses)
    batches = _batches(mixes, recipe, state.step, worker)
    started = time.monotonic()
    for batch in batches:
        lr_factor = factor(state.step, recipe.schedule)
        state.scale_learning_rates(lr_factor)
        losses, norm = training_step(state, objective, batch, recipe)
        now = time.monotonic()
        report(StepDone(state.step, losses, norm, lr_factor, now - started))
        started = now
        finished = state.step >= recipe.schedule.steps
        if tracks and (finished or state.step % recipe.loop.validate_every == 0):
            _validate(state, tracks, report, on_best)
        if finished or state.step % recipe.loop.save_every == 0:
            save_checkpoint(state, folder)


def training_step(
    state: TrainState, objective: Separation, batch: Batch, recipe: Recipe
) -> tuple[dict[str, float], float]:
    """One optimizer step; returns the named losses and the norm of the gradient."""
    for optimiser in state.optimisers:
        optimiser.zero_grad(set_to_none=True)
    total, parts = objective(state.model, batch)
    torch.autograd.backward(total)
    norm = torch.nn.utils.clip_grad_norm_(
        state.model.parameters(), recipe.optimiser.clip, error_if_nonfinite=True
    )
    for optimiser in state.optimisers:
        optimiser.step()
    state.average.update(state.model)
    state.step += 1
    losses = {name: part.item() for name, part in parts.items()}
    return {**losses, "total": total.item()}, norm.item()


def _batches(mixes: Mixes, recipe: Recipe, first_step: int, worker: Worker) -> Iterator[Batch]:
    """The batches from ``first_step`` on; item numbers follow from the step alone."""
    size = recipe.loop.batch_size
    order = range(first_step * size, recipe.schedule.steps * size)
    loader = DataLoader(
        mixes,
        batch_size=size,
        sampler=order,
        num_workers=recipe.loop.workers,
        prefetch_factor=4 if recipe.loop.workers else None,
    )
    for mixture, stems in loader:
        yield Batch(mixture.to(worker.device), stems.to(worker.device))


def _validate(
    state: TrainState,
    tracks: list[ValidationTrack],
    report: Report,
    on_best: Callable[[TrainState], None],
) -> None:
    scores = [validate(state.average.model, track) for track in tracks]
    means = {stem: sum(score[stem] for score in scores) / len(scores) for stem in scores[0]}
    mean = sum(means.values()) / len(means)
    best = mean > state.best_sdr
    if best:
        state.best_sdr = mean
        on_best(state)
    report(Validated(state.step, means, best))
