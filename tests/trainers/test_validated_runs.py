"""Runs with validation. Reference: the uninterrupted run, and scores set by hand."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_zoo import weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.install import read_summary
from model_zoo.catalogue.resolve import BEST, LAST, SUMMARY
from model_zoo.errors import UsageError
from stemcli.engine.events import Event
from tests.trainers.runs import CPU, make_track, voices
from trainers.config import Recipe
from trainers.loop import trainer
from trainers.loop.events import (
    ExcerptRendered,
    RunFinished,
    RunStarted,
    StageProgress,
    StepDone,
    Validated,
)
from trainers.loop.trainer import train
from trainers.objectives.separation import SeparationObjective


@pytest.fixture
def track(recordings: Path, recipe: Recipe) -> Path:
    return make_track(voices(recipe, recordings), recordings / "track")


def run_events(
    recipe: Recipe, recordings: Path, name: str, *tracks: Path, resume: bool = False
) -> list[Event]:
    """Train in the folder of that name; return the events, except excerpts."""
    events: list[Event] = []
    train(recipe, recordings, tracks, recordings / name, CPU, events.append, resume=resume)
    return [event for event in events if not isinstance(event, ExcerptRendered)]


def set_scores(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """Make validations return these scores, one after the other."""
    found: Iterator[float] = iter(scores)
    monkeypatch.setattr(trainer, "validate", lambda *_: {"vocals": next(found)})


def steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, StepDone)]


def test_stages_between_two_steps(recordings: Path, recipe: Recipe, track: Path) -> None:
    """Four steps by the recipe: validated and saved after the second and the last."""
    recipe = replace(recipe, log=replace(recipe.log, songs=2))
    events: list[Event] = []
    train(recipe, recordings, (track, track), recordings / "run", CPU, events.append)
    told = [
        (event.step, event.stage, event.done, event.total)
        if isinstance(event, StageProgress)
        else type(event)
        for event in events
    ]

    def between(step: int) -> list[object]:
        return [
            *((step, "validating", done, 2) for done in range(3)),
            Validated,
            (step, "rendering", 0, 2),
            ExcerptRendered,
            (step, "rendering", 1, 2),
            ExcerptRendered,
            (step, "saving", 0, 0),
        ]

    assert told == [
        *(RunStarted, StepDone, StepDone),
        *between(2),
        *((2, "training", 0, 0), StepDone, StepDone),
        *between(4),
        RunFinished,
    ]


def test_a_run_without_validation_only_saves(recordings: Path, recipe: Recipe) -> None:
    """Every second step by the recipe, and the last weights at the end."""
    events = run_events(recipe, recordings, "run")
    stages = [(e.step, e.stage) for e in events if isinstance(e, StageProgress)]
    assert stages == [(2, "saving"), (2, "training"), (4, "saving"), (4, "saving")]


def validations(events: list[Event]) -> list[Validated]:
    return [event for event in events if isinstance(event, Validated)]


@pytest.mark.parametrize("stop", [2, 4])
def test_an_interrupted_validation_is_done_on_resume(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Interrupted in the middle or at the end, the run has the same files in the end."""
    full = run_events(recipe, recordings, "full", track)
    original, calls = SeparationObjective.score, []

    def interrupt_and_score(*args: Any) -> dict[str, float]:
        calls.append(args)
        if len(calls) == stop // 2:
            signal.raise_signal(signal.SIGINT)
        return original(*args)

    monkeypatch.setattr(SeparationObjective, "score", interrupt_and_score)
    with pytest.raises(KeyboardInterrupt):
        run_events(recipe, recordings, "parts", track)
    monkeypatch.setattr(SeparationObjective, "score", original)
    resumed = run_events(recipe, recordings, "parts", track, resume=True)
    assert validations(resumed) == validations(full)[stop // 2 - 1 :]
    assert steps(resumed) == [3, 4][: 4 - stop]
    for name in (LAST, BEST):
        (found, texts), (expected, expected_texts) = (
            weights.read_safetensors(recordings / folder / name) for folder in ("parts", "full")
        )
        assert texts == expected_texts
        assert all(found[key].equal(value) for key, value in expected.items())
    summaries = [(recordings / name / SUMMARY).read_text() for name in ("parts", "full")]
    assert summaries[0] == summaries[1]


def test_a_run_stopped_early_takes_no_further_step(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_early_stopping = replace(
        recipe, schedule=replace(recipe.schedule, steps=9, early_stopping_patience=1)
    )
    set_scores(monkeypatch, 2.0, 1.0)
    first = run_events(with_early_stopping, recordings, "run", track)
    again = run_events(with_early_stopping, recordings, "run", track, resume=True)
    assert (steps(first), steps(again)) == ([1, 2, 3, 4], [])
    assert first[-1] == again[-1]
    assert first[-1].reason == "1 validation without a gain of 0.01 dB"
    longer = replace(
        with_early_stopping,
        schedule=replace(with_early_stopping.schedule, early_stopping_patience=0, steps=6),
    )
    set_scores(monkeypatch, 3.0)
    assert steps(run_events(longer, recordings, "run", track, resume=True)) == [5, 6]


def test_the_result_of_a_run_is_its_best_score(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_scores(monkeypatch, 2.0, 1.0)
    events = run_events(recipe, recordings, "run", track)
    assert [(event.best, event.best_mean) for event in validations(events)] == [
        (True, 2.0),
        (False, 2.0),
    ]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].best_mean == 2.0
    summary = read_summary(recordings / "run")
    assert (summary.step, summary.best_mean, summary.sdr) == (2, 2.0, {"vocals": 2.0})


def test_missing_best_weights_are_replaced_by_the_last(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_scores(monkeypatch, 2.0, 1.0)
    run_events(recipe, recordings, "run", track)
    (recordings / "run" / BEST).unlink()
    run_events(recipe, recordings, "run", track, resume=True)
    assert resolve.load(recordings / "run" / BEST).stems == ("vocals",)
    assert read_summary(recordings / "run").step == 4


def test_a_validated_run_cannot_resume_without_validation(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its last weights would replace its best."""
    set_scores(monkeypatch, 2.0, 1.0)
    run_events(recipe, recordings, "run", track)
    best = (recordings / "run" / BEST).read_bytes()
    longer = replace(recipe, schedule=replace(recipe.schedule, steps=6))
    with pytest.raises(
        UsageError, match=r"so far \(2\.00 dB SDR after step 2\).*Use the same --data and"
    ):
        run_events(longer, recordings, "run", resume=True)
    assert (recordings / "run" / BEST).read_bytes() == best
