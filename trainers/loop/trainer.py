"""The training loop, from recipe to weights.

It depends neither on Ray nor on the terminal: a :class:`~trainers.loop.execution.Strategy` says
where it runs, and the caller's ``on_event`` receives its events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from model_zoo.catalogue.resolve import BEST, LAST, RECIPE, SUMMARY
from model_zoo.errors import NumericalError, OutputError
from model_zoo.files import remove_unfinished
from model_zoo.weights import DISCRIMINATOR
from stemcli.engine.device import resolve_precision
from stemcli.engine.events import Event, EventHandler
from stemcli.process import JointInterrupt, held_interrupts
from trainers.config import Recipe
from trainers.data.loading import load_batches, watched_processes
from trainers.data.training_data import TrainingData, open_data
from trainers.loop.checkpoint import (
    BestWeights,
    check_checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_json,
)
from trainers.loop.checks import check_folder, check_run, explain_out_of_memory, lock_folder
from trainers.loop.events import RunFinished, RunStarted, Stage, StageProgress, Validated
from trainers.loop.execution import Strategy, checkpoint_blocks, compile_blocks
from trainers.loop.loggers import open_run_log
from trainers.loop.loggers.backends import HISTORY, RUN_ID
from trainers.loop.loggers.run_log import LogError
from trainers.loop.state import TrainState, seed_rank
from trainers.loop.step import TrainingTask, diverged, training_step
from trainers.loop.validation import peak_level, render_excerpt, validate
from trainers.objectives.base import Batch


@dataclass(frozen=True)
class LoopContext:
    """Everything the training loop needs besides the networks and the task.

    Attributes:
        recipe: the whole recipe.
        data: training clips and validation tracks.
        folder: folder of the run.
        strategy: devices and workers.
        on_event: receives an event for every step and every validation.
        keep_best: writes the averaged weights; called on every worker at a new best score.
    """

    recipe: Recipe
    data: TrainingData
    folder: Path
    strategy: Strategy
    on_event: EventHandler
    keep_best: Callable[[TrainState, dict[str, float]], None]

    def enter(self, stage: Stage, step: int, done: int = 0, total: int = 0) -> None:
        """Report a stage, or progress in it."""
        self.on_event(StageProgress(step, stage, done, total))


def _run_loop(state: TrainState, task: TrainingTask, context: LoopContext) -> str:
    """Train from the current step to the last; returns the reason why training ended.

    Ctrl-C and SIGTERM take effect after the current step, or the current excerpt or log entry, and
    a checkpoint is written. If they interrupt a validation, it is repeated first when the run is
    resumed.

    Raises:
        KeyboardInterrupt: the run was interrupted, and its checkpoint can be resumed.
        SystemExit: the same, by SIGTERM.
        NumericalError: a gradient, a weight or a validation score is not finite; the last
            checkpoint is unchanged.
        LogError: a log cannot be written; a checkpoint was written if there was space for one.
        OutputError: a checkpoint cannot be written.
        StorageError: a checkpoint cannot be copied to remote storage.
    """
    progress, schedule = state.progress, context.recipe.schedule
    before = progress.step
    try:
        if _is_due(state, context):
            _validate(state, task, context)
            _save(state, context)
            context.enter("training", progress.step)
        if not progress.is_stuck(schedule):
            _take_steps(state, task, context)
    except JointInterrupt:
        _write_checkpoint(state, context)
        raise
    except (KeyboardInterrupt, SystemExit, BrokenPipeError):
        with held_interrupts():
            _save_if_alone(state, context)
        raise
    except LogError as error:
        raise _save_after_log_error(error, state, context) from error
    if progress.is_stuck(schedule):
        return progress.why_stuck(schedule)
    if before == progress.step:
        return f"all steps had been done before; for more, use --set schedule.steps={2 * before}"
    return "all steps are done"


def _take_steps(state: TrainState, task: TrainingTask, context: LoopContext) -> None:
    """Train until the last step or until validation scores stop improving."""
    recipe, progress, started = context.recipe, state.progress, time.monotonic()
    for batch, waited in _timed(_batches(context, progress.step)):
        with held_interrupts():
            metrics = training_step(state, task, batch)
        seconds = time.monotonic() - started
        context.on_event(metrics.to_event(progress.step, seconds, waited))
        if is_validated := _is_due(state, context):
            _validate(state, task, context)
        over = progress.step >= recipe.schedule.steps or progress.is_stuck(recipe.schedule)
        if is_saved := over or progress.step % recipe.loop.checkpoint_every == 0:
            _save(state, context)
        if over:
            return
        if is_validated or is_saved:
            context.enter("training", progress.step)
        started = time.monotonic()


def _is_due(state: TrainState, context: LoopContext) -> bool:
    """Whether a validation is due and there are validation tracks."""
    recipe = context.recipe
    is_time = state.progress.is_due(recipe.schedule.steps, recipe.validation.every)
    return bool(context.data.validation) and is_time


def _validate(state: TrainState, task: TrainingTask, context: LoopContext) -> None:
    """Score the averaged weights; all workers get the same scores."""
    model, progress = state.ema.model, state.progress
    scores = validate(
        task.objective,
        model,
        context.data.validation,
        context.strategy,
        task.precision,
        partial(context.enter, "validating", progress.step),
    )
    if not all(map(math.isfinite, scores.values())):
        problem = f"The averaged network gives NaN or infinity after step {progress.step}"
        raise diverged(problem, context.recipe)
    mean = sum(scores.values()) / len(scores) if scores else float("-inf")
    # The counters and the weights they describe must be updated together, even on Ctrl-C.
    with held_interrupts():
        is_best = progress.update(mean, context.recipe.schedule)
        if is_best:
            context.keep_best(state, scores)
    diagnostics = state.separator.diagnostics()
    context.on_event(
        Validated(progress.step, scores, mean, is_best, progress.best_sdr, diagnostics)
    )
    if context.strategy.rank == 0 or not context.strategy.saves_alone:
        _render_excerpts(state, task, context)


def _render_excerpts(state: TrainState, task: TrainingTask, context: LoopContext) -> None:
    """Send excerpts of a few separated validation tracks, if the objective gives audio."""
    recipe, model, step = context.recipe, state.ema.model, state.progress.step
    songs = context.data.validation[: recipe.log.songs]
    for number, song in enumerate(songs):
        context.enter("rendering", step, number, len(songs))  # reading a song may take long
        with held_interrupts():
            track = task.objective.reference_audio(song.read())
        if track is None:
            return
        seconds, residual = recipe.log.seconds, recipe.model.residual
        with held_interrupts():
            excerpt = render_excerpt(model, track, step, seconds, residual, peak_level(model, song))
        context.on_event(excerpt)


def _save(state: TrainState, context: LoopContext) -> None:
    context.enter("saving", state.progress.step)
    _write_checkpoint(state, context)


def _write_checkpoint(state: TrainState, context: LoopContext) -> None:
    """Save without an event: after an interruption the receiver may be gone."""
    try:
        save_checkpoint(state, context.folder, context.strategy)
        if context.strategy.rank == 0:
            context.strategy.persist(context.folder)
    except NumericalError as error:
        raise diverged(str(error), context.recipe) from error
    except OutputError as error:
        if not (context.folder / LAST).exists():
            raise
        raise OutputError(
            f"{error}. The last checkpoint is intact: to resume, run it again with --resume"
        ) from error


def _save_after_log_error(error: LogError, state: TrainState, context: LoopContext) -> LogError:
    """Save a checkpoint although logging failed; returns the error to raise."""
    try:
        saved = _save_if_alone(state, context)
    except OutputError:
        return error
    return LogError(f"{error}. To resume, run it again with --resume") if saved else error


def _save_if_alone(state: TrainState, context: LoopContext) -> bool:
    """Save a checkpoint if this worker can do so without the others; returns whether it can."""
    if context.strategy.saves_alone:
        _write_checkpoint(state, context)
    return context.strategy.saves_alone


def _batches(context: LoopContext, first_step: int) -> Iterator[Batch]:
    """This worker's batches from ``first_step`` on; their content depends on the step alone."""
    loop, strategy = context.recipe.loop, context.strategy
    for mixture, stems in load_batches(
        context.data.clips,
        first_step,
        context.recipe.schedule.steps,
        loop.batch_size,
        loop.num_workers,
        rank=strategy.rank,
        world_size=strategy.world_size,
    ):
        device = strategy.device
        yield Batch(mixture.to(device, non_blocking=True), stems.to(device, non_blocking=True))


def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Pair every batch with the seconds spent waiting for it."""
    while True:
        began = time.monotonic()
        batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.monotonic() - began


FILES = frozenset({BEST, LAST, RECIPE, SUMMARY, DISCRIMINATOR, HISTORY, RUN_ID})
"""Files of a run that are written under a temporary name and then renamed."""


def train(
    recipe: Recipe,
    data: Path,
    validation: tuple[Path, ...],
    folder: Path,
    strategy: Strategy,
    on_event: EventHandler,
    *,
    resume: bool = False,
    origin: str = "",
    training_data: TrainingData | None = None,
) -> Path:
    """Train a network by a recipe; returns the file with the best averaged weights.

    Without validation, or if the best weights are gone, the last averaged weights are written.

    Args:
        recipe: the recipe.
        data: folder of the training data.
        validation: folders with ``mixture.*`` and one file per stem.
        folder: folder of the run, for checkpoints and weights.
        strategy: devices and workers.
        on_event: receives an event for every step and every validation, on every worker.
        resume: continue from the checkpoint in ``folder``.
        origin: model or weights file to start from; ignored when a run is resumed.
        training_data: result of :func:`~trainers.data.training_data.open_data`, if it was called
            before.

    Raises:
        OutputError: ``folder`` already holds a run and ``resume`` is off, or cannot be written.
        UsageError: a resumed run had validation tracks before and has none now.
        CheckpointError: there is no checkpoint, or it or ``origin`` does not fit the recipe.
        ConfigError: the recipe contradicts the network or the data, or its clips are too short.
        DataError: the data do not fit the recipe.
        DecodeError: a recording cannot be read.
        NumericalError: the run diverged.
        OutOfMemoryError: a step does not fit in memory.
        StorageError: a checkpoint cannot be copied to remote storage.
        KeyboardInterrupt: the run was interrupted; it can be resumed.
    """
    check_folder(folder, resume)
    if resume:
        check_checkpoint(recipe.model, folder)
    state = TrainState.fresh(recipe, strategy, "" if resume else origin)
    if resume:
        load_checkpoint(state, folder)
    seed_rank(recipe.seed, strategy.rank, state.progress.step)
    separator = state.separator
    precision = resolve_precision(recipe.loop.precision, strategy.device, separator.needs_float32)
    task = TrainingTask.of(recipe, separator, precision)
    training_data = training_data or open_data(
        recipe, data, validation, separator.stems, separator.sample_rate, strategy.world_size
    )
    check_run(state, task, training_data, folder, strategy.device)
    results = BestWeights(task, training_data, data.name, folder, strategy)
    _prepare(state, recipe, strategy)
    with (
        explain_out_of_memory(recipe, strategy.device),
        watched_processes(),
        _hold_folder(folder) if strategy.rank == 0 else nullcontext(),
        _with_log(recipe, folder, state.progress.step, strategy, on_event) as report,
    ):
        if strategy.rank == 0:
            write_json(folder / RECIPE, recipe.to_dict())
        report(_started(state, task, training_data, strategy))
        context = LoopContext(recipe, training_data, folder, strategy, report, results.keep)
        reason = _run_loop(state, task, context)
        best = state.progress.best
        if best is None or _is_lost(folder / BEST, strategy):
            context.enter("saving", state.progress.step)
            results.keep(state, {})
        report(RunFinished(state.progress.step, best, str(folder / BEST), reason))
    return folder / BEST


def _is_lost(path: Path, strategy: Strategy) -> bool:
    """Whether a file is missing on the first worker; all workers get the same answer."""
    is_missing = float(strategy.rank == 0 and not path.exists())
    return strategy.all_reduce({"missing": is_missing})["missing"] > 0


@contextmanager
def _hold_folder(folder: Path) -> Iterator[None]:
    """Lock the folder of a run and remove temporary files that killed runs left in it."""
    with lock_folder(folder) as is_held:
        if is_held:  # else another run may be alive
            remove_unfinished(folder, FILES)
        yield


@contextmanager
def _with_log(
    recipe: Recipe, folder: Path, first_step: int, strategy: Strategy, on_event: EventHandler
) -> Iterator[EventHandler]:
    """Handler of events; on the first worker it also writes the logs of the run."""
    if strategy.rank > 0:
        yield on_event
        return
    with open_run_log(recipe, folder, first_step) as log:

        def report(event: Event) -> None:
            log(event)
            on_event(event)

        yield report


def _prepare(state: TrainState, recipe: Recipe, strategy: Strategy) -> None:
    """Apply options that change how networks run but not what they compute."""
    if recipe.loop.activation_checkpointing:
        checkpoint_blocks(state.separator)
    if recipe.loop.compile:
        compile_blocks(state.separator)
    state.wrap(strategy)


def _started(
    state: TrainState, task: TrainingTask, data: TrainingData, strategy: Strategy
) -> RunStarted:
    recipe, measure, discriminator = task.recipe, task.objective.measure, state.discriminator
    return RunStarted(
        recipe=recipe.name,
        architecture=recipe.model.architecture,
        parameters=_parameter_count(state.separator),
        discriminator_parameters=_parameter_count(discriminator) if discriminator else 0,
        device=str(strategy.device),
        precision=task.precision.name,
        first_step=state.progress.step,
        steps=recipe.schedule.steps,
        steps_per_epoch=data.clips.epoch / (recipe.loop.batch_size * strategy.world_size),
        validation_songs=len(data.validation),
        data=data.summary,
        score=measure.word,
        unit=measure.unit,
    )


def _parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
