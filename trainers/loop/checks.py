"""Checks before a run starts: folder lock, validation data, shortest clip length, memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from model_zoo.catalogue.resolve import LAST
from model_zoo.errors import (
    CheckpointError,
    ConfigError,
    OutOfMemoryError,
    OutputError,
    UsageError,
)
from stemcli.engine.runner import is_out_of_memory
from stemcli.remote_path import UrlPath
from trainers.config import Recipe
from trainers.data.clips import ClipPlan
from trainers.data.training_data import TrainingData
from trainers.loop.checkpoint import require_format
from trainers.loop.state import TrainState
from trainers.loop.step import TrainingTask
from trainers.objectives import Measure
from trainers.objectives.base import Batch, Pair


def check_folder(folder: Path, resume: bool) -> None:
    """Refuse a folder that cannot hold a new or resumed run.

    Raises:
        OutputError: it holds a run and ``resume`` is off, or it is not writable.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise OutputError(f"{existing} is a file. Use --output with the name of a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{existing} is not writable. Use --output with a folder that is")
    if not resume and (folder / LAST).exists():
        raise OutputError(run_exists_message(folder))


def run_exists_message(folder: Path) -> str:
    """Return the message that ``folder`` already holds a run, and whether it can be resumed.

    Behind a URL the format of the checkpoint is not checked.
    """
    if not isinstance(folder, UrlPath):
        try:
            require_format(folder)
        except CheckpointError as error:
            return str(error)
    return f"{folder} already holds a run. Add --resume or use another --output"


def check_run(
    state: TrainState, task: TrainingTask, data: TrainingData, folder: Path, device: torch.device
) -> None:
    """Refuse a run that could not reach its end.

    Raises:
        UsageError: a resumed run had validation tracks before and has none now.
        ConfigError: the schedule needs validation songs, or a clip is too short.
        OutOfMemoryError: a clip does not fit in memory.
    """
    check_validation(state, data, folder, task.objective.measure)
    check_schedule(task.recipe, has_validation=bool(data.validation))
    with explain_out_of_memory(task.recipe, device):
        require_long_clips(state, task)


@contextmanager
def explain_out_of_memory(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Turn out-of-memory errors into one sentence with options that need less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"A step does not fit in the memory of {device}. Run it again with "
            f"--set loop.accumulation_steps={recipe.loop.batch_size}, "
            "--set loop.activation_checkpointing=true, or shorter clips: "
            f"--set data.clip_seconds={recipe.data.clip_seconds / 2:g}"
        ) from error


def check_validation(state: TrainState, data: TrainingData, folder: Path, measure: Measure) -> None:
    """Refuse to resume a validated run without validation tracks.

    Without scores the best weights would be overwritten by any others.

    Raises:
        UsageError: there are no validation tracks now.
    """
    progress = state.progress
    if progress.best is not None and not data.validation:
        raise UsageError(
            f"{folder} was validated so far ({progress.best:.2f} {measure.unit} "
            f"{measure.word} after step {progress.best_step}), and now there are no validation "
            "songs. Use the same --data and --validation as before"
        )


def check_schedule(recipe: Recipe, *, has_validation: bool) -> None:
    """Refuse schedules that depend on validation scores if there is no validation.

    Raises:
        ConfigError: the schedule does.
    """
    patience = recipe.schedule.early_stopping_patience
    waiting = {
        "schedule.shape=plateau": recipe.schedule.shape == "plateau",
        f"schedule.early_stopping_patience={patience}": patience > 0,
    }
    named = [name for name, waits in waiting.items() if waits]
    if named and not has_validation:
        share = "" if recipe.data.validation_fraction else " or --set data.validation_fraction=0.1"
        advice = f"there are no validation songs. Use --validation DIR{share}"
        raise ConfigError(" and ".join(named), [advice])


LONGEST_HINT = 60.0
"""Longest clip that is tried, in seconds."""


def require_long_clips(state: TrainState, task: TrainingTask) -> None:
    """Run the network, losses and discriminators on one silent clip of every clip length.

    No weight changes and no random number of the run is used.

    Raises:
        ConfigError: a clip is too short for one of them; the message says which length suffices.
    """
    rate = state.separator.sample_rate
    plan = ClipPlan.of(task.recipe, rate)
    shortest = min(shape.length for shape in (*(shape for _, shape in plan.stages), plan.last))
    device = next(state.separator.parameters()).device
    generators = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(generators):
        state.separator.eval()
        try:
            pair = _attempt(
                lambda length: _estimate(state, task, length), shortest, rate, "the network"
            )
            task.objective(pair)
            if state.discriminator_optimizer:
                _attempt(
                    lambda length: _try_discriminator(state, task, length),
                    shortest,
                    rate,
                    "discriminators",
                )
        finally:
            state.separator.train()


def _estimate(state: TrainState, task: TrainingTask, length: int) -> Pair:
    device = next(state.separator.parameters()).device
    stems = torch.zeros(1, len(state.separator.stems), 2, length, device=device)
    return task.forward(state.optimizer, Batch(stems[:, 0], stems))


def _try_discriminator(state: TrainState, task: TrainingTask, length: int) -> Pair:
    assert state.discriminator_optimizer, "asked for only with discriminators"
    pair = _estimate(state, task, length)
    with state.discriminator_optimizer.frozen() as frozen, task.autocast(pair[0]):
        task.adversary.generator_losses(frozen, pair)
    return pair


def _attempt(attempt: Callable[[int], Pair], length: int, rate: int, who: str) -> Pair:
    """Run ``attempt`` on ``length`` samples."""
    try:
        return attempt(length)
    except (RuntimeError, ValueError) as error:
        enough = None if _is_memory(error) else _enough(attempt, length, rate)
        if enough is None:
            raise
        raise ConfigError(
            "data.clip_seconds",
            [
                f"clips of {length / rate:.3g} s are too short for {who}. "
                f"Try: --set data.clip_seconds={enough / rate:.3g} (or longer stages)"
            ],
        ) from error


def _enough(attempt: Callable[[int], Pair], length: int, rate: int) -> int | None:
    """Double the length until the attempt succeeds; None if the length is not the problem."""
    length = max(2 * length, rate // 100)
    while length < LONGEST_HINT * rate:
        try:
            attempt(length)
        except (RuntimeError, ValueError) as error:
            if _is_memory(error):
                return None
            length *= 2
        else:
            return length
    return None


def _is_memory(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and is_out_of_memory(error)


_OPEN: set[int] = set()
"""Folders that this process has locked; its forked children must release them."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[bool]:
    """Lock the folder of a run; the system releases the lock when the process ends.

    On Windows, a file beside the folder is locked, and removed afterwards.

    Yields whether the folder is locked: some systems and disks have no such locks.

    Raises:
        OutputError: another run has locked it, or it cannot be created.
    """
    was_there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _open_lock(folder)
    except OSError as error:
        raise OutputError(
            f"Cannot write {folder} ({error.strerror}). Choose a writable folder"
        ) from error
    _OPEN.add(descriptor)
    is_held = False
    try:
        _try_lock(descriptor)
        is_held = True
    except (BlockingIOError, PermissionError) as error:
        _close(descriptor)
        raise OutputError(
            f"Another run is writing into {folder}. Wait for it, or use another --output"
        ) from error
    except OSError:  # a disk without locks
        pass
    try:
        yield is_held
    finally:
        _close(descriptor)
        if sys.platform == "win32":
            with suppress(OSError):  # another process has opened it
                _lock_file(folder).unlink()
        if not was_there:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _lock_file(folder: Path) -> Path:
    """The file that is locked on Windows, which cannot open folders."""
    folder = folder.absolute()
    return folder.with_name(f".{folder.name}.lock")


def _open_lock(folder: Path) -> int:
    if sys.platform == "win32":
        return os.open(_lock_file(folder), os.O_RDWR | os.O_CREAT)
    return os.open(folder, os.O_RDONLY)


def _try_lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _close(descriptor: int) -> None:
    _OPEN.discard(descriptor)
    os.close(descriptor)


def _release() -> None:
    """Release the locks in a forked child, which may outlive a killed run by seconds."""
    for descriptor in [*_OPEN]:
        _close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release)
