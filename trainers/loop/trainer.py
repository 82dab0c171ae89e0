"""The training loop, from recipe to weights.

It knows neither Ray nor the terminal. Where it runs is told by a
:class:`~trainers.loop.execution.Strategy`; who wants to know how it goes passes ``report``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from model_zoo.catalogue.resolve import BEST, LAST, RECIPE, SUMMARY
from model_zoo.errors import NumericalError, OutOfMemoryError, OutputError
from model_zoo.files import remove_unfinished
from model_zoo.weights import DISCRIMINATOR
from stemcli.engine.device import resolve_precision
from stemcli.engine.events import Event
from stemcli.engine.runner import is_out_of_memory
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
from trainers.loop.checks import (
    check_folder,
    check_schedule,
    check_validation,
    lock_folder,
    require_long_clips,
)
from trainers.loop.events import EventHandler, RunFinished, RunStarted, StepDone, Validated
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
    """What a loop is handed, apart from what it learns.

    Attributes:
        recipe: numbers of the loop.
        data: clips to learn from and songs to be judged by.
        folder: where checkpoints go.
        worker: where it runs.
        report: told of every step and every validation.
        keep_best: called on every worker when the averaged weights reach a new best validation
            score.
    """

    recipe: Recipe
    data: TrainingData
    folder: Path
    worker: Strategy
    report: EventHandler
    keep_best: Callable[[TrainState, dict[str, float]], None]


def _run_loop(state: TrainState, task: TrainingTask, run: LoopContext) -> str:
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
            _save_if_alone(state, run)
        raise
    except LogError as error:
        raise _save_after_log_error(error, state, run) from error
    if progress.is_stuck(schedule):
        return progress.why_stuck(schedule)
    if before == progress.step:
        return f"it had taken all steps before; for more type --set schedule.steps={2 * before}"
    return "all steps are done"


def _take_steps(state: TrainState, task: TrainingTask, run: LoopContext) -> None:
    """Until the last step, or until validations bring no new best."""
    recipe, progress, started = run.recipe, state.progress, time.monotonic()
    for batch, waited in _timed(_batches(run, progress.step)):
        with held_interrupts():
            tally = training_step(state, task, batch)
        seconds = time.monotonic() - started
        run.report(
            StepDone(
                progress.step,
                tally.losses,
                tally.gradient_norms,
                tally.learning_rates,
                seconds,
                waited,
            )
        )
        if _is_due(state, run):
            _validate(state, task, run)
        over = progress.step >= recipe.schedule.steps or progress.is_stuck(recipe.schedule)
        if over or progress.step % recipe.loop.checkpoint_every == 0:
            _save(state, run)
        if over:
            return
        started = time.monotonic()


def _is_due(state: TrainState, run: LoopContext) -> bool:
    """Whether there is something to judge by, and it is time to."""
    recipe = run.recipe
    is_time = state.progress.is_due(recipe.schedule.steps, recipe.validation.every)
    return bool(run.data.validation) and is_time


def _validate(state: TrainState, task: TrainingTask, run: LoopContext) -> None:
    """Judge the averaged weights; every worker comes to the same result."""
    model, progress = state.ema.model, state.progress
    scores = validate(task.objective, model, run.data.validation, run.worker, task.precision)
    if not all(map(math.isfinite, scores.values())):
        found = f"The averaged network gives NaN or infinity after step {progress.step}"
        raise diverged(found, run.recipe)
    mean = sum(scores.values()) / len(scores) if scores else float("-inf")
    # Ctrl-C must not part the counters from the weights that they speak of.
    with held_interrupts():
        is_best = progress.update(mean, run.recipe.schedule)
        if is_best:
            run.keep_best(state, scores)
    findings = state.separator.diagnostics()
    run.report(Validated(progress.step, scores, mean, is_best, progress.best_sdr, findings))
    if run.worker.rank == 0 or not run.worker.saves_alone:
        _render_excerpts(state, task, run)


def _render_excerpts(state: TrainState, task: TrainingTask, run: LoopContext) -> None:
    """Let people hear a few validation songs, where the network makes sound of them."""
    recipe, model = run.recipe, state.ema.model
    for song in run.data.validation[: recipe.log.songs]:
        track = task.objective.reference_audio(song.read())
        if track is None:
            return
        step, seconds, residual = state.progress.step, recipe.log.seconds, recipe.model.residual
        run.report(render_excerpt(model, track, step, seconds, residual, peak_level(model, song)))


def _save(state: TrainState, run: LoopContext) -> None:
    try:
        save_checkpoint(state, run.folder, run.worker)
        if run.worker.rank == 0:
            run.worker.persist(run.folder)
    except NumericalError as error:
        raise diverged(str(error), run.recipe) from error
    except OutputError as error:
        if not (run.folder / LAST).exists():
            raise
        raise OutputError(
            f"{error}. The last checkpoint is whole: to go on from it, run it again with --resume"
        ) from error


def _save_after_log_error(error: LogError, state: TrainState, run: LoopContext) -> LogError:
    """Save what was learned; returns what to say."""
    try:
        saved = _save_if_alone(state, run)
    except OutputError:
        return error
    return LogError(f"{error}. To go on, run it again with --resume") if saved else error


def _save_if_alone(state: TrainState, run: LoopContext) -> bool:
    """Save when the others know of nothing and go on; returns whether this worker can."""
    if run.worker.saves_alone:
        _save(state, run)
    return run.worker.saves_alone


def _batches(run: LoopContext, first_step: int) -> Iterator[Batch]:
    """This worker's batches from ``first_step`` on; what is in them follows from the step alone."""
    loop, worker = run.recipe.loop, run.worker
    for mixture, stems in load_batches(
        run.data.clips,
        first_step,
        run.recipe.schedule.steps,
        loop.batch_size,
        loop.num_workers,
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


FILES = frozenset({BEST, LAST, RECIPE, SUMMARY, DISCRIMINATOR, HISTORY, RUN_ID})
"""What a run writes into its folder under a temporary name first."""


def train(
    recipe: Recipe,
    data: Path,
    validation: tuple[Path, ...],
    folder: Path,
    worker: Strategy,
    report: EventHandler,
    *,
    resume: bool = False,
    origin: str = "",
    found: TrainingData | None = None,
) -> Path:
    """Train by ``recipe`` and return the file with the best averaged weights.

    Where nothing was judged, or the best weights are gone, the last averaged ones are kept.

    Args:
        recipe: what to do.
        data: folder with what is learned from.
        validation: folders with ``mixture.*`` and one file per stem.
        folder: where checkpoints and weights go.
        worker: where the networks live.
        report: told of every step and every validation, on every worker.
        resume: go on from the checkpoint in ``folder``.
        origin: model or weights file to start from; a resumed run has its own.
        found: what :func:`~trainers.data.training_data.open_data` found, if it was called already.

    Raises:
        OutputError: ``folder`` already holds a run and ``resume`` is off, or cannot be written.
        UsageError: the run was validated so far, and now there are no songs for it.
        CheckpointError: nothing to resume from, or it or ``origin`` does not fit the recipe.
        ConfigError: the recipe contradicts the network or the data, or its clips are too short.
        DataError: the data are not what the recipe needs.
        DecodeError: a recording cannot be read.
        NumericalError: the run diverged.
        OutOfMemoryError: a step does not fit.
        StorageError: a checkpoint cannot be stored.
        KeyboardInterrupt: it was interrupted; the checkpoint in ``folder`` can be resumed.
    """
    check_folder(folder, resume)
    if resume:
        check_checkpoint(recipe.model, folder)
    state = TrainState.fresh(recipe, worker, "" if resume else origin)
    if resume:
        load_checkpoint(state, folder)
    seed_rank(recipe.seed, worker.rank, state.progress.step)
    separator = state.separator
    precision = resolve_precision(recipe.loop.precision, worker.device, separator.needs_float32)
    task = TrainingTask.of(recipe, separator, precision)
    found = found or open_data(
        recipe, data, validation, separator.stems, separator.sample_rate, worker.world_size
    )
    _check(state, task, found, folder, worker)
    results = BestWeights(task, found, data.name, folder, worker)
    _prepare(state, recipe, worker)
    with (
        _explain_out_of_memory(recipe, worker),
        watched_processes(),
        _hold_folder(folder) if worker.rank == 0 else nullcontext(),
        _with_log(recipe, folder, state.progress.step, worker, report) as tell,
    ):
        if worker.rank == 0:
            write_json(folder / RECIPE, recipe.to_dict())
        tell(_started(state, task, found, worker))
        reason = _run_loop(
            state, task, LoopContext(recipe, found, folder, worker, tell, results.keep)
        )
        best = state.progress.best
        if best is None or _is_lost(folder / BEST, worker):
            results.keep(state, {})
        tell(RunFinished(state.progress.step, best, str(folder / BEST), reason))
    return folder / BEST


def _is_lost(path: Path, worker: Strategy) -> bool:
    """Whether a file is not there for the first worker; all come to the same result."""
    return worker.all_reduce({"lost": float(worker.rank == 0 and not path.exists())})["lost"] > 0


def _check(
    state: TrainState, task: TrainingTask, found: TrainingData, folder: Path, worker: Strategy
) -> None:
    """Refuse what could not be trained to its end."""
    check_validation(state, found, folder, task.objective.measure)
    check_schedule(task.recipe, found)
    with _explain_out_of_memory(task.recipe, worker):
        require_long_clips(state, task)


@contextmanager
def _hold_folder(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, without what killed runs have left half-written in it."""
    with lock_folder(folder) as is_held:
        if is_held:  # else another run may be alive
            remove_unfinished(folder, FILES)
        yield


@contextmanager
def _with_log(
    recipe: Recipe, folder: Path, first_step: int, worker: Strategy, report: EventHandler
) -> Iterator[EventHandler]:
    """The report; that of the first worker is written down as well."""
    if worker.rank > 0:
        yield report
        return
    with open_run_log(recipe, folder, first_step) as log:

        def tell(event: Event) -> None:
            log(event)
            report(event)

        yield tell


@contextmanager
def _explain_out_of_memory(recipe: Recipe, worker: Strategy) -> Iterator[None]:
    """Say in a sentence that a step needs more memory than there is."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"A step does not fit in the memory of {worker.device}. Run it again with "
            f"--set loop.accumulation_steps={recipe.loop.batch_size}, "
            "--set loop.activation_checkpointing=true, or shorter clips: "
            f"--set data.clip_seconds={recipe.data.clip_seconds / 2:g}"
        ) from error


def _prepare(state: TrainState, recipe: Recipe, worker: Strategy) -> None:
    """What changes how the networks run and not what they are."""
    if recipe.loop.activation_checkpointing:
        checkpoint_blocks(state.separator)
    if recipe.loop.compile:
        compile_blocks(state.separator)
    state.wrap(worker)


def _started(
    state: TrainState, task: TrainingTask, found: TrainingData, worker: Strategy
) -> RunStarted:
    recipe = task.recipe
    measure = task.objective.measure
    return RunStarted(
        recipe=recipe.name,
        architecture=recipe.model.architecture,
        parameters=_parameter_count(state.separator),
        discriminator_parameters=_parameter_count(state.discriminator)
        if state.discriminator
        else 0,
        device=str(worker.device),
        precision=task.precision.name,
        first_step=state.progress.step,
        steps=recipe.schedule.steps,
        steps_per_epoch=found.clips.epoch / (recipe.loop.batch_size * worker.world_size),
        validation_songs=len(found.validation),
        data=found.summary,
        score=measure.word,
        unit=measure.unit,
    )


def _parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
