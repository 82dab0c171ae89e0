"""Optuna's journal ``study.log`` in the folder of a search: all that a search remembers.

Each change of the study is a line of it, which is on disk before anything follows from it.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from model_zoo.errors import CheckpointError, OutputError
from trainers.search.plan import STUDY_LOG
from trainers.search.trials import State, Trial, Trials

STUDY = "search"
"""Name of the only study in a journal."""

_RUNG = b'"completed_rung_'
"""Begins the attribute by which Optuna's pruner records that a trial was compared at a rung."""

_STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "waiting",  # until Ray Tune starts it
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


def open_storage(folder: Path) -> JournalStorage:
    """Open the journal of a search, and create it where there is none.

    Raises:
        CheckpointError: it is damaged.
        OutputError: it cannot be written.
    """
    path = folder / STUDY_LOG
    try:
        return JournalStorage(_JournalFile(path))
    except OSError as error:
        raise _not_writable(path, error) from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        raise CheckpointError(
            f"{path} is damaged. Use --output with another folder and leave out --resume"
        ) from error


def open_study(storage: JournalStorage, pruner: BasePruner) -> optuna.Study:
    """Load the study of a journal, and create it where there is none."""
    if STUDY in optuna.get_all_study_names(storage):
        return optuna.load_study(study_name=STUDY, storage=storage, pruner=pruner)
    with quiet_optuna():
        return optuna.create_study(
            study_name=STUDY, storage=storage, pruner=pruner, direction="maximize"
        )


def read_trials(folder: Path, score: str) -> Trials:
    """Read the trials of a search without changing it; there are none before it has begun.

    Args:
        folder: of the search.
        score: name of the score, as :attr:`~trainers.search.plan.Plan.score`.

    Raises:
        CheckpointError: the journal is damaged.
    """
    if not (folder / STUDY_LOG).exists():
        return Trials(score)
    storage = open_storage(folder)
    if STUDY not in optuna.get_all_study_names(storage):
        return Trials(score)
    study = optuna.load_study(study_name=STUDY, storage=storage)
    return Trials(score, map(convert_trial, study.trials))


def convert_trial(frozen: FrozenTrial) -> Trial:
    """Convert a trial of Optuna to one of a search."""
    attrs = frozen.user_attrs
    was_stopped = frozen.state == TrialState.PRUNED
    return Trial(
        number=frozen.number + 1,
        params=frozen.params,
        values=attrs["values"],
        shown=attrs["shown"],
        state=_STATES[frozen.state],
        curve=sorted(frozen.intermediate_values.items()),
        parameters=attrs.get("parameters", 0),
        seconds=attrs.get("seconds", 0.0),
        reason=why_stopped(frozen.last_step or 0) if was_stopped else attrs.get("reason", ""),
    )


def why_stopped(step: int) -> str:
    """The reason of a trial that was pruned."""
    return f"stopped by ASHA after {step} steps"


def trim(folder: Path) -> None:
    """Remove lines at the end of a journal that were written before a kill and led to nothing.

    These are a line that was cut off, and a rung without a decision: Optuna's pruner records that a
    trial has reached a rung before it returns whether the trial is pruned there, and would not
    compare it again.

    Raises:
        OutputError: the journal cannot be written.
    """
    path = folder / STUDY_LOG
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    while lines and (not lines[-1].endswith(b"\n") or _RUNG in lines[-1]):
        lines.pop()
    try:
        os.truncate(path, sum(map(len, lines)))
    except OSError as error:
        raise _not_writable(path, error) from error


class _JournalFile(JournalFileBackend):
    """A journal in one file, with an error of ours where it cannot be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_NoLock(str(path)))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise _not_writable(self._path, error) from error


class _NoLock(JournalFileOpenLock):
    """No lock: that of the folder keeps other searches away, and a kill would leave this behind."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _not_writable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot write {path} ({error.strerror}). Choose a folder you may write, on a disk with "
        "room"
    )


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silence Optuna, which logs every study it creates and warns of experimental features."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            yield
    finally:
        optuna.logging.set_verbosity(before)
