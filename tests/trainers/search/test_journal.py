"""Optuna's journal of a search. Reference: the trials that were written, and the file's bytes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import optuna
import pytest
from optuna.pruners import NopPruner, SuccessiveHalvingPruner

from model_zoo.errors import CheckpointError, OutputError
from tests.trainers.search.searches import (
    OUTCOMES,
    built_in_space,
    events_of,
    trials_of,
    write_study,
)
from trainers.search.journal import STUDY, open_storage, open_study, read_trials, trim
from trainers.search.plan import STUDY_LOG

SPACE = built_in_space("melrnn")
TRIALS = trials_of(events_of(SPACE, OUTCOMES))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The journal of a search: a line for the study, and one for each of four trials."""
    write_study(tmp_path, SPACE, TRIALS)
    return tmp_path / STUDY_LOG


def test_trials_are_read_as_they_were_written(log: Path) -> None:
    assert [*read_trials(log.parent, "SDR")] == [*TRIALS]


def test_reading_does_not_change_the_journal(log: Path, tmp_path: Path) -> None:
    original = log.read_bytes()
    for content in (original, original[:-9], b""):
        log.write_bytes(content)
        read_trials(tmp_path, "SDR")
        assert log.read_bytes() == content
    log.unlink()
    assert [*read_trials(tmp_path, "SDR")] == []
    assert not [*tmp_path.iterdir()]


def test_a_truncated_line_is_ignored_and_trimmed(log: Path, tmp_path: Path) -> None:
    original = log.read_bytes()
    kept = len(original[:-1].rpartition(b"\n")[0]) + 1
    for length in range(kept, len(original), 7):
        log.write_bytes(original[:length])
        assert [*read_trials(tmp_path, "SDR")] == [*TRIALS][:-1]
        trim(tmp_path)
        assert log.read_bytes() == original[:kept]
        open_study(open_storage(tmp_path), NopPruner()).ask()
        assert log.read_bytes()[:kept] == original[:kept]
        assert log.read_bytes().count(b"\n") == original.count(b"\n")


def test_a_rung_without_a_decision_is_compared_again(tmp_path: Path) -> None:
    """Three trials reach the first rung: the second is worse than the first, the third better."""
    pruner = SuccessiveHalvingPruner(min_resource=20, reduction_factor=2)
    study = open_study(open_storage(tmp_path), pruner)
    log = tmp_path / STUDY_LOG
    for score, is_pruned in ((5.0, False), (4.0, True), (6.0, False)):
        trial = study.ask()
        trial.report(score, 20)
        reported = log.read_bytes()
        assert trial.should_prune() is is_pruned
        assert log.read_bytes() != reported
        trim(tmp_path)
        assert log.read_bytes() == reported
        study = open_study(open_storage(tmp_path), pruner)
        trial_id = trial.number  # a journal with one study counts both alike
        assert optuna.Trial(study, trial_id).should_prune() is is_pruned
    study.tell(1, state=optuna.trial.TrialState.PRUNED)
    after_decision = log.read_bytes()
    trim(tmp_path)
    assert log.read_bytes() == after_decision


def test_the_study_is_created_once(tmp_path: Path) -> None:
    for _ in range(3):
        open_study(open_storage(tmp_path), NopPruner())
        assert optuna.get_all_study_names(open_storage(tmp_path)) == [STUDY]
        assert (tmp_path / STUDY_LOG).read_bytes().count(b"\n") == 1


def test_only_the_journal_is_left(log: Path) -> None:
    """There is no lock file, which a killed search would leave behind."""
    assert [*log.parent.iterdir()] == [log]


@pytest.mark.parametrize("line", [b"nonsense", b'{"op_code":77}', b"{}", b"[1]", b'{"op_code":4}'])
def test_a_damaged_journal_is_named(log: Path, line: bytes) -> None:
    first, _, *others = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([first, line, *others]) + b"\n")
    with pytest.raises(CheckpointError, match=r"study.log is damaged"):
        read_trials(log.parent, "SDR")


def test_a_journal_that_cannot_be_written(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(open_storage(tmp_path), NopPruner())

    def raise_disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", raise_disk_full)
    with pytest.raises(OutputError, match=r"Cannot write .*study.log \(No space left on device\)"):
        study.ask()
