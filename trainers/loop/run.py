"""One run from recipe to weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from torch import nn

from model_zoo.discriminator_weights import DISCRIMINATOR
from model_zoo.errors import OutOfMemoryError
from model_zoo.files import remove_unfinished
from model_zoo.whereabouts import BEST, LAST, RECIPE, SUMMARY
from stemcli.engine.events import Event
from stemcli.engine.network import is_out_of_memory
from stemcli.engine.precision import resolve_precision
from trainers.config import Recipe
from trainers.data.loading import watched_helpers
from trainers.data.opening import TrainingData, open_data
from trainers.loop.blocks import compile_blocks, recompute_blocks
from trainers.loop.checkpoint import check_checkpoint, load_checkpoint
from trainers.loop.conditions import check_folder, check_schedule, check_validation
from trainers.loop.events import Report, RunFinished, RunStarted
from trainers.loop.lengths import require_long_clips
from trainers.loop.lock import alone_in
from trainers.loop.logbook import keep_logs
from trainers.loop.logbook.history import HISTORY
from trainers.loop.logbook.wandb import RUN_ID
from trainers.loop.results import Results, write_json
from trainers.loop.state import TrainState, draw_apart
from trainers.loop.steps import Task
from trainers.loop.train import Run, train
from trainers.loop.worker import Worker

FILES = frozenset({BEST, LAST, RECIPE, SUMMARY, DISCRIMINATOR, HISTORY, RUN_ID})
"""What a run writes into its folder under a temporary name first."""


def run(
    recipe: Recipe,
    data: Path,
    validation: tuple[Path, ...],
    folder: Path,
    worker: Worker,
    report: Report,
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
        found: what :func:`~trainers.data.opening.open_data` found, if it was called already.

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
    draw_apart(recipe.seed, worker.rank, state.progress.step)
    separator = state.separator
    precision = resolve_precision(recipe.loop.precision, worker.device, separator.needs_float32)
    task = Task.of(recipe, separator, precision)
    found = found or open_data(
        recipe, data, validation, separator.stems, separator.sample_rate, worker.world_size
    )
    _check(state, task, found, folder, worker)
    results = Results(task, found, data.name, folder, worker)
    _prepare(state, recipe, worker)
    with (
        _enough_memory(recipe, worker),
        watched_helpers(),
        _own(folder) if worker.rank == 0 else nullcontext(),
        _written_down(recipe, folder, state.progress.step, worker, report) as tell,
    ):
        if worker.rank == 0:
            write_json(folder / RECIPE, recipe.to_dict())
        tell(_started(state, task, found, worker))
        reason = train(state, task, Run(recipe, found, folder, worker, tell, results.keep))
        best = state.progress.best
        if best is None or _is_lost(folder / BEST, worker):
            results.keep(state, {})
        tell(RunFinished(state.progress.step, best, str(folder / BEST), reason))
    return folder / BEST


def _is_lost(path: Path, worker: Worker) -> bool:
    """Whether a file is not there for the first worker; all come to the same result."""
    return worker.total({"lost": float(worker.rank == 0 and not path.exists())})["lost"] > 0


def _check(
    state: TrainState, task: Task, found: TrainingData, folder: Path, worker: Worker
) -> None:
    """Refuse what could not be trained to its end."""
    check_validation(state, found, folder, task.objective.measure)
    check_schedule(task.recipe, found)
    with _enough_memory(task.recipe, worker):
        require_long_clips(state, task)


@contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, without what killed runs have left half-written in it."""
    with alone_in(folder) as is_held:
        if is_held:  # else another run may be alive
            remove_unfinished(folder, FILES)
        yield


@contextmanager
def _written_down(
    recipe: Recipe, folder: Path, first_step: int, worker: Worker, report: Report
) -> Iterator[Report]:
    """The report; that of the first worker is written down as well."""
    if worker.rank > 0:
        yield report
        return
    with keep_logs(recipe, folder, first_step) as log:

        def tell(event: Event) -> None:
            log(event)
            report(event)

        yield tell


@contextmanager
def _enough_memory(recipe: Recipe, worker: Worker) -> Iterator[None]:
    """Say in a sentence that a step needs more memory than there is."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"A step does not fit in the memory of {worker.device}. Type the same with "
            f"--set loop.accumulate={recipe.loop.batch_size}, --set loop.recompute=true, or "
            f"shorter clips: --set data.seconds={recipe.data.seconds / 2:g}"
        ) from error


def _prepare(state: TrainState, recipe: Recipe, worker: Worker) -> None:
    """What changes how the networks run and not what they are."""
    if recipe.loop.recompute:
        recompute_blocks(state.separator)
    if recipe.loop.compile:
        compile_blocks(state.separator)
    state.wrap(worker)


def _started(state: TrainState, task: Task, found: TrainingData, worker: Worker) -> RunStarted:
    recipe = task.recipe
    measure = task.objective.measure
    return RunStarted(
        recipe=recipe.name,
        architecture=recipe.model.architecture,
        parameters=_count(state.separator),
        discriminator_parameters=_count(state.ensemble) if state.ensemble else 0,
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


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
