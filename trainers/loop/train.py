"""The training loop: batches in, steps taken, progress reported.

It knows neither Ray nor the terminal. Where it runs is told by a
:class:`~trainers.loop.worker.Worker`; who wants to know how it goes passes ``report``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import NumericalError, OutputError
from model_zoo.whereabouts import LAST
from trainers.config import Recipe
from trainers.data.loading import load_batches
from trainers.data.opening import TrainingData
from trainers.loop.checkpoint import save_checkpoint
from trainers.loop.events import Report, StepDone, Validated
from trainers.loop.interrupt import JointInterrupt, held_interrupts
from trainers.loop.listening import listen
from trainers.loop.logbook.keeping import LogError
from trainers.loop.state import TrainState
from trainers.loop.steps import Task, diverged, training_step
from trainers.loop.validation import level_of, validate
from trainers.loop.worker import Worker
from trainers.objectives.batch import Batch


@dataclass(frozen=True)
class Run:
    """What a loop is handed, apart from what it learns.

    Attributes:
        recipe: numbers of the loop.
        data: clips to learn from and songs to be judged by.
        folder: where checkpoints go.
        worker: where it runs.
        report: told of every step and every validation.
        keep: called on every worker when the averaged weights reach a new best validation score.
    """

    recipe: Recipe
    data: TrainingData
    folder: Path
    worker: Worker
    report: Report
    keep: Callable[[TrainState, dict[str, float]], None]


def train(state: TrainState, task: Task, run: Run) -> str:
    """Train from where ``state`` stands to the last step; returns why it ended.

    Ctrl-C and SIGTERM wait for the end of the step, then a checkpoint is written. A validation that
    they cut short is done when the run goes on, before anything else.

    Raises:
        KeyboardInterrupt: the run was interrupted, and its checkpoint can be resumed.
        SystemExit: the same, by SIGTERM.
        NumericalError: a gradient, a weight or a validation is not finite; the last checkpoint is
            as it was.
        LogError: a log cannot be written; a checkpoint was, if there was room for one.
        OutputError: a checkpoint cannot be written.
        StorageError: or cannot be stored.
    """
    progress, schedule = state.progress, run.recipe.schedule
    before = progress.step
    try:
        if _is_due(state, run):
            _validate(state, task, run)
            _save(state, run)
        if not progress.is_stuck(schedule):
            _take_steps(state, task, run)
    except JointInterrupt:
        _save(state, run)
        raise
    except (KeyboardInterrupt, SystemExit, BrokenPipeError):
        with held_interrupts():
            _save_alone(state, run)
        raise
    except LogError as error:
        raise _saved_in_spite_of(error, state, run) from error
    if progress.is_stuck(schedule):
        return progress.why_stuck(schedule)
    if before == progress.step:
        return f"it had taken all steps before; for more type --set schedule.steps={2 * before}"
    return "all steps are done"


def _take_steps(state: TrainState, task: Task, run: Run) -> None:
    """Until the last step, or until validations bring no new best."""
    recipe, progress, started = run.recipe, state.progress, time.monotonic()
    for batch, waited in _timed(_batches(run, progress.step)):
        with held_interrupts():
            tally = training_step(state, task, batch)
        seconds = time.monotonic() - started
        run.report(StepDone(progress.step, tally.losses, tally.norms, tally.rates, seconds, waited))
        if _is_due(state, run):
            _validate(state, task, run)
        over = progress.step >= recipe.schedule.steps or progress.is_stuck(recipe.schedule)
        if over or progress.step % recipe.loop.save_every == 0:
            _save(state, run)
        if over:
            return
        started = time.monotonic()


def _is_due(state: TrainState, run: Run) -> bool:
    """Whether there is something to judge by, and it is time to."""
    recipe = run.recipe
    is_time = state.progress.is_due(recipe.schedule.steps, recipe.validation.every)
    return bool(run.data.validation) and is_time


def _validate(state: TrainState, task: Task, run: Run) -> None:
    """Judge the averaged weights; every worker comes to the same result."""
    model, progress = state.average.model, state.progress
    scores = validate(task.objective, model, run.data.validation, run.worker, task.precision)
    if not all(map(math.isfinite, scores.values())):
        found = f"The averaged network gives NaN or infinity after step {progress.step}"
        raise diverged(found, run.recipe)
    mean = sum(scores.values()) / len(scores) if scores else float("-inf")
    # Ctrl-C must not part the counters from the weights that they speak of.
    with held_interrupts():
        is_best = progress.judge(mean, run.recipe.schedule)
        if is_best:
            run.keep(state, scores)
    findings = state.separator.findings()
    run.report(Validated(progress.step, scores, mean, is_best, progress.best_sdr, findings))
    if run.worker.rank == 0 or not run.worker.is_independent:
        _listen(state, task, run)


def _listen(state: TrainState, task: Task, run: Run) -> None:
    """Let people hear a few validation songs, where the network makes sound of them."""
    recipe, model = run.recipe, state.average.model
    for song in run.data.validation[: recipe.log.songs]:
        track = task.objective.heard(song.read())
        if track is None:
            return
        step, seconds, residual = state.progress.step, recipe.log.seconds, recipe.model.residual
        run.report(listen(model, track, step, seconds, residual, level_of(model, song)))


def _save(state: TrainState, run: Run) -> None:
    try:
        save_checkpoint(state, run.folder, run.worker)
        if run.worker.rank == 0:
            run.worker.keep(run.folder)
    except NumericalError as error:
        raise diverged(str(error), run.recipe) from error
    except OutputError as error:
        if not (run.folder / LAST).exists():
            raise
        raise OutputError(
            f"{error}. The last checkpoint is whole: to go on from it, type the same with --resume"
        ) from error


def _saved_in_spite_of(error: LogError, state: TrainState, run: Run) -> LogError:
    """Save what was learned; returns what to say."""
    try:
        saved = _save_alone(state, run)
    except OutputError:
        return error
    return LogError(f"{error}. To go on, type the same with --resume") if saved else error


def _save_alone(state: TrainState, run: Run) -> bool:
    """Save when the others know of nothing and go on; returns whether this worker can."""
    if run.worker.is_independent:
        _save(state, run)
    return run.worker.is_independent


def _batches(run: Run, first_step: int) -> Iterator[Batch]:
    """This worker's batches from ``first_step`` on; what is in them follows from the step alone."""
    loop, worker = run.recipe.loop, run.worker
    for mixture, stems in load_batches(
        run.data.clips,
        first_step,
        run.recipe.schedule.steps,
        loop.batch_size,
        loop.workers,
        rank=worker.rank,
        world_size=worker.world_size,
    ):
        yield Batch(
            mixture.to(worker.device, non_blocking=True), stems.to(worker.device, non_blocking=True)
        )


def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Every batch with the seconds that were spent waiting for it."""
    while True:
        began = time.monotonic()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.monotonic() - began
