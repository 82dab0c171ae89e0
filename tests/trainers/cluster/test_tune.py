"""``stem tune`` as it is typed, with Ray.

Truth: what was asked for (so many trials, none lost), and the same proposals without interruption.
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


def finished(run: subprocess.Popen[str], code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """The events of a search with ``--json``, and what it complained of."""
    heard, complaints = run.communicate(timeout=300)
    assert run.returncode == code, complaints
    return events(heard), complaints


QUICK = ("melrnn",)
"""One is enough to see that searches run; those of the others take minutes in all."""


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(registry.ARCHITECTURES)
    ],
)
def test_two_trials_of_every_architecture(architecture: str, workdir: Path) -> None:
    told, complaints = finished(tune("--trials", "2", "--json", architecture=architecture))
    assert complaints == ""
    assert told[0]["event"] == "search_started"
    assert told[0]["architecture"] == architecture
    over = [event for event in told if event["event"] == "trial_ended"]
    assert {event["number"] for event in over} == {1, 2}
    assert {event["how"] for event in over} <= {"done", "stopped"}
    assert told[-1]["event"] == "search_finished"
    best = trials_in(workdir / "search").best
    assert best
    assert told[-1]["best"] == best.number
    recipe = load_recipe(str(workdir / "search/best.yaml"))
    made = json.loads((workdir / f"search/trials/{best.name}/recipe.json").read_text())
    assert (
        recipe.model.options
        == load_recipe(str(workdir / f"search/trials/{best.name}/recipe.json")).model.options
    )
    assert made["optimizer"]["lr"] == recipe.optimizer.lr
    assert (workdir / "search/search.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_trial_may_have_several_workers(workdir: Path) -> None:
    told, _ = finished(tune("--trials", "1", "--json", "--workers", "2"))
    assert told[0]["workers"] == 2
    (over,) = [event for event in told if event["event"] == "trial_ended"]
    assert over["how"] == "done", over["reason"]
    assert (workdir / "search/trials/001/best.safetensors").exists()


def validated(run: subprocess.Popen[str], times: int) -> None:
    """Wait until a search has told of so many validations."""
    assert run.stdout
    for line in run.stdout:
        times -= json.loads(line)["event"] == "trial_validated"
        if not times:
            return
    raise AssertionError("it ended too early")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl_c", "kill"])
def test_no_trial_is_lost_however_a_search_is_ended(number: int, workdir: Path) -> None:
    long = ("schedule.steps=25", "validation.every=5")
    finished(tune("--trials", "3", "--json", "--jobs", "1", "-o", "whole", more=long))
    run = tune("--trials", "3", "--json", "--jobs", "1", more=long)
    validated(run, 2)
    run.send_signal(number)
    _, complaints = run.communicate(timeout=60)
    if number == signal.SIGINT:
        assert run.returncode == 130
        assert complaints.endswith("To resume, run the same command with --resume.\n")
    before = trials_in(workdir / "search")
    assert 0 < before.over + 1 <= len(before) <= 3
    told, _ = finished(tune("--resume", "--json", "--jobs", "1", more=long))
    assert told[0]["over"] == before.over
    after, whole = trials_in(workdir / "search"), trials_in(workdir / "whole")
    assert [trial.params for trial in after] == [trial.params for trial in whole]
    assert [(trial.state, trial.step) for trial in after] == [
        (trial.state, trial.step) for trial in whole
    ]
    for trial, same in zip(after, whole, strict=True):
        np.testing.assert_allclose(trial.curve, same.curve, atol=1e-3)


@pytest.mark.slow
def test_a_trial_that_diverges_is_a_row(workdir: Path) -> None:
    space = "rate: {'optimizer.lr, optimizer.muon_lr': {choice: [0.003, 1.0e+30]}}"
    (workdir / "space.yaml").write_text(space)
    told, complaints = finished(
        tune("--trials", "6", "--json", "--space", "space.yaml", "--seed", "2"), 0
    )
    assert complaints == ""
    hows = [event["how"] for event in told if event["event"] == "trial_ended"]
    assert len(hows) == 6
    assert "failed" in hows
    assert "done" in hows
    rows = json.loads((workdir / "search/trials.json").read_text())["trials"]
    failed = [row for row in rows if row["state"] == "failed"]
    assert all("smaller learning rates" in row["reason"] for row in failed)


@pytest.mark.slow
def test_where_all_trials_fail_one_sentence_says_so(workdir: Path) -> None:
    rates = ("optimizer.lr=1e30", "optimizer.muon_lr=1e30")
    _, status = tune("--trials", "2", more=rates).communicate(timeout=300)
    lines = status.splitlines()
    assert [line for line in lines if line.startswith("Error")] == lines[-1:]
    assert lines[-1].startswith("Error: All 2 trials failed: ")
    assert "Picture: search/search.png" in lines
    assert not (workdir / "search/best.yaml").exists()


@pytest.mark.slow
def test_a_process_that_is_killed_is_tried_again_and_then_a_row(workdir: Path) -> None:
    long = ("schedule.steps=4000", "validation.every=5")
    run = tune("--trials", "1", "--json", "--jobs", "1", more=long)
    assert run.stdout
    killed: set[int] = set()
    for line in run.stdout:
        event = json.loads(line)
        if event["event"] == "trial_validated" and len(killed) < 2:
            for process in trial_processes(run.pid) - killed:
                killed.add(process)
                subprocess.run(["kill", "-9", str(process)], check=True)
    _, complaints = run.communicate(timeout=60)
    assert len(killed) == 2
    assert run.returncode == 1
    assert complaints.startswith("Error: The trial failed: its process ended")
    assert "no reason given" not in complaints
    assert trials_in(workdir / "search").by_number[1].step > 5


def trial_processes(parent: int) -> set[int]:
    """Processes of trials below a search."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    below, found = {parent}, set()
    for _ in range(4):
        below |= {int(pid) for pid, above, _ in rows if int(above) in below}
    for pid, _, words in rows:
        if int(pid) in below and words.startswith("ray::Imp"):
            found.add(int(pid))
    return found


@pytest.mark.slow
def test_nothing_of_ray_is_seen(workdir: Path) -> None:
    result, status = tune("--trials", "1").communicate(timeout=300)
    first, *lines = status.splitlines()
    assert first == "Starting Ray"
    assert lines[0] == "Search: melroformer around the recipe tune-melroformer, 1 trial"
    assert lines[-1].startswith("Try: stem train --recipe search/best.yaml --data ")
    for word in ("ray", "warning", "optuna"):
        assert word not in "\n".join([*lines, result]).replace(str(workdir), "").lower()
