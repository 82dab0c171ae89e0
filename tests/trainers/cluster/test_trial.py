"""One trial, in this process. Reference: the same run without a search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model_zoo.errors import OutOfMemoryError
from tests.trainers.cluster.small import EVERY, STEPS, plan
from tests.trainers.runs import CPU
from trainers.cluster import tune_trial
from trainers.cluster.tune_trial import TrialContext, fitted, run_trial
from trainers.loop.trainer import train
from trainers.recipes.loading import load_recipe
from trainers.search.plan import Plan


@pytest.fixture
def search(workdir: Path) -> Plan:
    """A search in the folder ``search``."""
    new = plan(workdir / "songs")
    new.write(workdir / "search")
    return new


def run_and_report(
    search: Plan, workdir: Path, values: dict[str, Any], stop: int = STEPS
) -> list[dict[str, Any]]:
    """The reports of a trial, until it is killed after a validation."""
    reports: list[dict[str, Any]] = []

    def append(report: dict[str, Any]) -> None:
        reports.append(report)
        if report.get("step") == stop < STEPS:
            raise SystemExit

    context = TrialContext(str(workdir / "search"), str(workdir), "cpu", 1)
    try:
        run_trial(search, context, 7, values, append)
    except SystemExit:
        assert stop < STEPS
    return reports


def test_a_trial_equals_a_run(search: Plan, workdir: Path) -> None:
    values = {"optimizer.lr": 0.002, "model.options.num_layers": 2}
    started, *validated, ended = run_and_report(search, workdir, values)
    assert ended == {"ended": "done", "reason": "all steps are done"}
    assert [report["step"] for report in validated] == [*range(EVERY, STEPS + 1, EVERY)]
    recipe = replace(
        search.base,
        optimizer=replace(search.base.optimizer, lr=0.002),
        model=replace(search.base.model, options={**search.base.model.options, "num_layers": 2}),
    )
    train(recipe, workdir / "songs", (), workdir / "alone", CPU, lambda event: None)
    summary = json.loads((workdir / "alone/summary.json").read_text())
    assert validated[-1]["best"] == pytest.approx(summary["best_mean"], abs=1e-9)
    assert started["step"] == 0
    saved_weights = [*(workdir / "search/trials/007").glob("*.safetensors")]
    assert {file.name for file in saved_weights} == {"best.safetensors", "last.safetensors"}


def test_a_killed_trial_resumes_from_its_checkpoint(search: Plan, workdir: Path) -> None:
    uninterrupted = run_and_report(search, workdir, {})
    (workdir / "search/trials/007").rename(workdir / "search/trials/whole")
    first = run_and_report(search, workdir, {}, stop=2 * EVERY)
    again = run_and_report(search, workdir, {})
    assert again[0]["step"] >= EVERY
    scores = {report["step"]: report["sdr"] for report in (*first, *again) if "sdr" in report}
    assert scores == {report["step"]: report["sdr"] for report in uninterrupted if "sdr" in report}


def test_a_stopped_trial_has_the_schedule_of_the_full_run(search: Plan, workdir: Path) -> None:
    def rates(folder: Path) -> list[float]:
        lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        return [line["learning_rate/model"] for line in lines if "learning_rate/model" in line]

    search = plan(workdir / "songs", "log.every=1")
    search.write(workdir / "search")
    folder = workdir / "search/trials/007"
    run_and_report(search, workdir, {}, stop=2 * EVERY)
    stopped = rates(folder)
    folder.rename(folder.with_name("stopped"))
    run_and_report(search, workdir, {})
    assert stopped
    assert stopped == rates(folder)[: len(stopped)]


def test_divergence_is_reported(search: Plan, workdir: Path) -> None:
    *_, ended = run_and_report(search, workdir, {"optimizer.lr": 1e30, "optimizer.muon_lr": 1e30})
    assert ended["ended"] == "failed"
    assert "Run it again with smaller learning rates" in ended["reason"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OutOfMemoryError("A step does not fit"), "A step does not fit"),
        (MemoryError(), "Out of memory"),
        (ZeroDivisionError("in a test"), "bug in stem"),
    ],
)
def test_all_errors_are_reported(
    search: Plan,
    workdir: Path,
    error: Exception,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise error

    monkeypatch.setattr(tune_trial, "train", fail)
    (ended,) = run_and_report(search, workdir, {})
    assert ended["ended"] == "failed"
    assert message in ended["reason"]


def test_contradictory_values_are_reported(search: Plan, workdir: Path) -> None:
    (ended,) = run_and_report(search, workdir, {"model.options.num_heads": 3})
    assert "even multiple of num_heads" in ended["reason"]


def test_a_machine_without_the_folder_reports_it(search: Plan, workdir: Path) -> None:
    (workdir / "search/tune.json").unlink()
    (ended,) = run_and_report(search, workdir, {})
    assert "on a disk that all of them share" in ended["reason"]


def test_loader_workers_leave_cores_to_other_trials() -> None:
    recipe = load_recipe("tune-melrnn", ("loop.num_workers=3", "loop.checkpoint_every=100"))
    assert [fitted(recipe, cores).loop.num_workers for cores in (1, 2, 8)] == [0, 1, 3]
    assert fitted(recipe, 1).loop.checkpoint_every == recipe.validation.every


def test_a_trial_uses_its_share_of_the_cores(search: Plan, workdir: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run_and_report(search, workdir, {})
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("allowed", "used"), [("", 4), ("2", 2), ("8", 4), ("0", 4), ("2,2", 4)])
def test_threads_respect_omp_num_threads(
    allowed: str, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    assert tune_trial.threads(4) == used
