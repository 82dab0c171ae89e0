"""Dry runs: estimates by hand, and no writes to the output folder or to Weights & Biases."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from model_zoo.errors import OutputError
from tests.trainers.example_run import STARTED
from tests.trainers.runs import CPU, make_track, voices
from trainers.cli.train_run import check_room, dry_run_lines
from trainers.config import Recipe
from trainers.loop.dry_run import DryRunFinished, dry_run
from trainers.loop.loggers import run_log

FINISHED = DryRunFinished(
    seconds_per_step=2.0,
    waited=0.5,
    seconds_per_song=3.0,
    memory=2_000_000_000,
    device_memory=None,
    checkpoint=1_000_000,
    steps=1000,
    hours=0.5,
    losses={"total": 1.0},
)


def test_the_estimate_counts_all_validations(recordings: Path, recipe: Recipe) -> None:
    """100 steps, with validations of two songs after steps 40, 80 and 100."""
    tracks = tuple(make_track(voices(recipe, recordings), recordings / name) for name in "ab")
    schedule = replace(recipe.schedule, steps=100)
    every_40_steps = replace(
        recipe, schedule=schedule, validation=replace(recipe.validation, every=40)
    )
    started, finished = dry_run(every_40_steps, recordings, tracks, CPU)
    assert (started.recipe, started.validation_songs, finished.steps) == (recipe.name, 1, 100)
    seconds = 100 * finished.seconds_per_step + 3 * 2 * finished.seconds_per_song
    assert finished.hours == pytest.approx(seconds / 3600)


def test_nothing_is_sent_to_wandb(
    recordings: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(run_log, "WandbLogger", lambda project, *_: opened.append(project))
    dry_run(replace(recipe, log=replace(recipe.log, wandb="mine")), recordings, (), CPU)
    assert opened == []


def test_lines_of_a_dry_run() -> None:
    lines = [*dry_run_lines(STARTED, FINISHED, "songs")][-5:]
    assert lines == [
        "Step: 2.00 s, 25 % of it waiting for data",
        "Validation: 3.0 s a song",
        "Memory: 2.0 GB",
        "Checkpoint: 1.0 MB",
        "Full run: 30:00, 1,000 steps",
    ]
    on_gpu = [*dry_run_lines(STARTED, replace(FINISHED, device_memory=10**9), "songs")]
    assert "Memory: 2.0 GB, GPU memory 1.0 GB" in on_gpu


def test_a_run_needs_space_for_two_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2000))
    check_room(tmp_path / "runs" / "new", 1000)
    with pytest.raises(OutputError, match=f"{tmp_path} has 2.0 kB free .* need 2.0 kB"):
        check_room(tmp_path / "runs" / "new", 1001)
