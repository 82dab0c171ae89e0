"""The training loop: batches in, steps taken, progress reported.

It knows neither Ray nor the terminal. Where it runs is told by a
:class:`~trainers.loop.worker.Worker`; who wants to know how it goes passes ``report``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from model_zoo.errors import NumericalError
from model_zoo.separator import Separator
from trainers.config import OptimiserRecipe, Recipe
from trainers.data.clips import Clips
from trainers.data.loading import load_batches
from trainers.data.opening import TrainingData
from trainers.data.validation import ValidationSong
from trainers.loop.checkpoint import save_checkpoint
from trainers.loop.events import Report, StepDone, Validated
from trainers.loop.interrupt import held_interrupts
from trainers.loop.schedule import factor
from trainers.loop.state import TrainState
from trainers.loop.validation import validate
from trainers.loop.worker import Worker
from trainers.objectives.separation import Batch, Separation


def train(
    state: TrainState,
    recipe: Recipe,
    data: TrainingData,
    folder: Path,
    worker: Worker,
    report: Report,
    on_best: Callable[[TrainState], None],
) -> None:
    """Train from ``state.step`` to the last step of the recipe.

    Checkpoints go to ``folder``; ``on_best`` is called when the averaged weights reach a new best
    validation SDR. A Ctrl-C waits for the end of the step, then a checkpoint is written.

    Raises:
        KeyboardInterrupt: the run was interrupted, and its checkpoint can be resumed.
        NumericalError: the gradient is not finite; the last checkpoint is as it was.
        OutputError: a checkpoint cannot be written.
    """
    objective = Separation(recipe.supervised_losses, state.model.sample_rate, recipe.loss_options)
    batches = _batches(data.clips, recipe, state.step, worker)
    started = time.monotonic()
    try:
        for batch in batches:
            with held_interrupts():
                losses, norm, lr_factor = training_step(state, objective, batch, recipe)
            report(
                StepDone(
                    state.step,
                    losses,
                    {"model": norm},
                    {"model": lr_factor},
                    time.monotonic() - started,
                    0.0,
                )
            )
            finished = state.step >= recipe.schedule.steps
            if data.validation and (finished or state.step % recipe.validation.every == 0):
                _validate(state, data.validation, report, on_best)
            if finished or state.step % recipe.loop.save_every == 0:
                save_checkpoint(state, folder)
            started = time.monotonic()
    except KeyboardInterrupt:
        with held_interrupts():
            save_checkpoint(state, folder)
        raise


def training_step(
    state: TrainState, objective: Separation, batch: Batch, recipe: Recipe
) -> tuple[dict[str, float], float, float]:
    """One optimizer step; returns the named losses, the gradient's norm and the rate's factor.

    Raises:
        NumericalError: the gradient is not finite; nothing was moved.
    """
    lr_factor = factor(state.step, recipe.schedule)
    state.scale_learning_rates(lr_factor)
    for optimiser in state.optimisers:
        optimiser.zero_grad(set_to_none=True)
    losses = add_gradients(state.model, objective, batch, recipe.loop.accumulate)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), recipe.optimiser.clip)
    if not norm.isfinite():
        raise NumericalError(_not_finite(state.step + 1, recipe.optimiser))
    for optimiser in state.optimisers:
        optimiser.step()
    state.average.update(state.model)
    state.step += 1
    return losses, norm.item(), lr_factor


def add_gradients(
    model: Separator, objective: Separation, batch: Batch, parts: int
) -> dict[str, float]:
    """Add the gradient of a batch that is computed in equal parts; returns its mean losses.

    Every loss is a mean over items, so the mean over parts of one size is that of the whole batch.
    """
    losses: dict[str, float] = {}
    for part in batch.split(parts):
        total, named = objective(model, part)
        torch.autograd.backward(total / parts)
        for name, loss in {**named, "total": total}.items():
            losses[name] = losses.get(name, 0.0) + loss.item() / parts
    return losses


def _not_finite(step: int, optimiser: OptimiserRecipe) -> str:
    return (
        f"The gradient of step {step} is not finite. Type the same with smaller steps: "
        f"--set optimiser.lr={optimiser.lr / 2:g} --set optimiser.muon_lr={optimiser.muon_lr / 2:g}"
        ", and with --resume if the run has saved a checkpoint"
    )


def _batches(clips: Clips, recipe: Recipe, first_step: int, worker: Worker) -> Iterator[Batch]:
    """The batches from ``first_step`` on; item numbers follow from the step alone."""
    loop, device = recipe.loop, worker.device
    loaded = load_batches(clips, first_step, recipe.schedule.steps, loop.batch_size, loop.workers)
    for mixture, stems in loaded:
        yield Batch(mixture.to(device, non_blocking=True), stems.to(device, non_blocking=True))


def _validate(
    state: TrainState,
    songs: tuple[ValidationSong, ...],
    report: Report,
    on_best: Callable[[TrainState], None],
) -> None:
    scores = [validate(state.average.model, song.read()) for song in songs]
    means = {stem: sum(score[stem] for score in scores) / len(scores) for stem in scores[0]}
    mean = sum(means.values()) / len(means)
    best = mean > state.best_sdr
    if best:
        with held_interrupts():
            on_best(state)
            state.best_sdr = mean
    report(Validated(state.step, means, mean, best, state.best_sdr))
