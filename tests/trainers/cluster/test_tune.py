"""``stem tune`` on the command line, with Ray.

Reference: the number of trials, and the proposals of the uninterrupted search.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_zoo import registry
from tests.trainers.cluster.small import events, tune
from trainers.recipes.loading import load_recipe
from trainers.search.journal import read_trials
from trainers.search.trials import Trials

pytestmark = pytest.mark.ray


def trials_in(folder: Path) -> Trials:
    return read_trials(folder, "SDR")


def wait_until_finished(
    run: subprocess.Popen[str], code: int = 0
) -> tuple[list[dict[str, Any]], str]:
    """The events of a search with ``--json``, and its stderr."""
    output, stderr = run.communicate(timeout=300)
    assert run.returncode == code, stderr
    return events(output), stderr


QUICK = ("melrnn",)
"""One architecture shows that searches run; the others take minutes in total."""


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(registry.ARCHITECTURES)
    ],
)
def test_a_search_of_every_architecture(architecture: str, workdir: Path) -> None:
    reported, stderr = wait_until_finished(
        tune("--trials", "2", "--json", architecture=architecture)
    )
    assert stderr == ""
    assert reported[0]["event"] == "search_started"
    assert reported[0]["architecture"] == architecture
    ended = [event for event in reported if event["event"] == "trial_ended"]
    assert {event["number"] for event in ended} == {1, 2}
    assert {event["how"] for event in ended} <= {"done", "stopped"}
    assert reported[-1]["event"] == "search_finished"
    best = trials_in(workdir / "search").best
    assert best
    assert reported[-1]["best"] == best.number
    recipe = load_recipe(str(workdir / "search/best.yaml"))
    trial_recipe = json.loads((workdir / f"search/trials/{best.name}/recipe.json").read_text())
    assert (
        recipe.model.options
        == load_recipe(str(workdir / f"search/trials/{best.name}/recipe.json")).model.options
    )
    assert trial_recipe["optimizer"]["lr"] == recipe.optimizer.lr
    assert (workdir / "search/search.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_trial_may_have_several_workers(workdir: Path) -> None:
    reported, _ = wait_until_finished(tune("--trials", "1", "--json", "--workers", "2"))
    assert reported[0]["workers"] == 2
    (ended,) = [event for event in reported if event["event"] == "trial_ended"]
    assert ended["how"] == "done", ended["reason"]
    assert (workdir / "search/trials/001/best.safetensors").exists()


def wait_for_validations(run: subprocess.Popen[str], times: int) -> None:
    """Wait until a search has reported so many validations."""
    assert run.stdout
    for line in run.stdout:
        times -= json.loads(line)["event"] == "trial_validated"
        if not times:
            return
    raise AssertionError("it ended too early")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl_c", "kill"])
def test_an_ended_search_loses_no_trial(number: int, workdir: Path) -> None:
    long_options = ("schedule.steps=25", "validation.every=5")
    wait_until_finished(
        tune("--trials", "3", "--json", "--jobs", "1", "-o", "whole", more=long_options)
    )
    run = tune("--trials", "3", "--json", "--jobs", "1", more=long_options)
    wait_for_validations(run, 2)
    run.send_signal(number)
    _, stderr = run.communicate(timeout=60)
    if number == signal.SIGINT:
        assert run.returncode == 130
        assert stderr.endswith("To resume, run the same command with --resume.\n")
    before = trials_in(workdir / "search")
    assert 0 < before.over + 1 <= len(before) <= 3
    reported, _ = wait_until_finished(tune("--resume", "--json", "--jobs", "1", more=long_options))
    assert reported[0]["over"] == before.over
    after, uninterrupted = trials_in(workdir / "search"), trials_in(workdir / "whole")
    assert [trial.params for trial in after] == [trial.params for trial in uninterrupted]
    assert [(trial.state, trial.step) for trial in after] == [
        (trial.state, trial.step) for trial in uninterrupted
    ]
    for trial, expected in zip(after, uninterrupted, strict=True):
        np.testing.assert_allclose(trial.curve, expected.curve, atol=1e-3)


@pytest.mark.slow
def test_a_diverging_trial_is_listed_as_failed(workdir: Path) -> None:
    space = "rate: {'optimizer.lr, optimizer.muon_lr': {choice: [0.003, 1.0e+30]}}"
    (workdir / "space.yaml").write_text(space)
    reported, stderr = wait_until_finished(
        tune("--trials", "6", "--json", "--space", "space.yaml", "--seed", "2"), 0
    )
    assert stderr == ""
    outcomes = [event["how"] for event in reported if event["event"] == "trial_ended"]
    assert len(outcomes) == 6
    assert "failed" in outcomes
    assert "done" in outcomes
    rows = json.loads((workdir / "search/trials.json").read_text())["trials"]
    failed = [row for row in rows if row["state"] == "failed"]
    assert all("smaller learning rates" in row["reason"] for row in failed)


@pytest.mark.slow
def test_if_all_trials_fail_there_is_one_error(workdir: Path) -> None:
    rates = ("optimizer.lr=1e30", "optimizer.muon_lr=1e30")
    _, stderr = tune("--trials", "2", more=rates).communicate(timeout=300)
    lines = stderr.splitlines()
    assert [line for line in lines if line.startswith("Error")] == lines[-1:]
    assert lines[-1].startswith("Error: All 2 trials failed: ")
    assert "Picture: search/search.png" in lines
    assert not (workdir / "search/best.yaml").exists()


@pytest.mark.slow
def test_a_killed_trial_is_retried_and_then_failed(workdir: Path) -> None:
    long_options = ("schedule.steps=4000", "validation.every=5")
    run = tune("--trials", "1", "--json", "--jobs", "1", more=long_options)
    assert run.stdout
    killed: set[int] = set()
    for line in run.stdout:
        event = json.loads(line)
        if event["event"] == "trial_validated" and len(killed) < 2:
            for process in trial_processes(run.pid) - killed:
                killed.add(process)
                subprocess.run(["kill", "-9", str(process)], check=True)
    _, stderr = run.communicate(timeout=60)
    assert len(killed) == 2
    assert run.returncode == 1
    assert stderr.startswith("Error: The trial failed: its process ended, perhaps for lack of")
    assert trials_in(workdir / "search").by_number[1].step > 5


def trial_processes(parent: int) -> set[int]:
    """Processes of trials, among descendants of a search process."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    descendants, found = {parent}, set()
    for _ in range(4):
        descendants |= {int(pid) for pid, above, _ in rows if int(above) in descendants}
    for pid, _, command in rows:
        if int(pid) in descendants and command.startswith("ray::Imp"):
            found.add(int(pid))
    return found


@pytest.mark.slow
def test_the_output_does_not_mention_ray(workdir: Path) -> None:
    stdout, stderr = tune("--trials", "1").communicate(timeout=300)
    first, *lines = stderr.splitlines()
    assert first == "Starting Ray"
    assert lines[0] == "Search: melroformer around the recipe tune-melroformer, 1 trial"
    assert lines[-1].startswith("Try: stem train --recipe search/best.yaml --data ")
    for word in ("ray", "warning", "optuna"):
        assert word not in "\n".join([*lines, stdout]).replace(str(workdir), "").lower()
