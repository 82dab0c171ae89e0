"""Runs that are judged. Truth: the run that nothing interrupted, scores given by hand."""

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
from trainers.loop.events import ExcerptRendered, RunFinished, StepDone, Validated
from trainers.loop.trainer import train
from trainers.objectives.separation import SeparationObjective


@pytest.fixture
def track(recordings: Path, recipe: Recipe) -> Path:
    return make_track(voices(recipe, recordings), recordings / "track")


def judged(
    recipe: Recipe, recordings: Path, name: str, *tracks: Path, resume: bool = False
) -> list[Event]:
    """What a run into the folder of that name tells, but for sound."""
    events: list[Event] = []
    train(recipe, recordings, tracks, recordings / name, CPU, events.append, resume=resume)
    return [event for event in events if not isinstance(event, ExcerptRendered)]


def give(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """Let validations find these, one after the other."""
    found: Iterator[float] = iter(scores)
    monkeypatch.setattr(trainer, "validate", lambda *_: {"vocals": next(found)})


def steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, StepDone)]


def validations(events: list[Event]) -> list[Validated]:
    return [event for event in events if isinstance(event, Validated)]


@pytest.mark.parametrize("stop", [2, 4])
def test_a_validation_that_was_interrupted_is_done_when_the_run_goes_on(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """In the middle of the run and at its end; all that is written down is the same after all."""
    whole = judged(recipe, recordings, "whole", track)
    score, heard = SeparationObjective.score, []

    def press(*given: Any) -> dict[str, float]:
        heard.append(given)
        if len(heard) == stop // 2:
            signal.raise_signal(signal.SIGINT)
        return score(*given)

    monkeypatch.setattr(SeparationObjective, "score", press)
    with pytest.raises(KeyboardInterrupt):
        judged(recipe, recordings, "parts", track)
    monkeypatch.setattr(SeparationObjective, "score", score)
    rest = judged(recipe, recordings, "parts", track, resume=True)
    assert validations(rest) == validations(whole)[stop // 2 - 1 :]
    assert steps(rest) == [3, 4][: 4 - stop]
    for name in (LAST, BEST):
        (found, said), (expected, told) = (
            weights.read_safetensors(recordings / folder / name) for folder in ("parts", "whole")
        )
        assert said == told
        assert all(found[key].equal(value) for key, value in expected.items())
    summaries = [(recordings / name / SUMMARY).read_text() for name in ("parts", "whole")]
    assert summaries[0] == summaries[1]


def test_a_run_that_is_stuck_takes_no_further_step(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = replace(
        recipe, schedule=replace(recipe.schedule, steps=9, early_stopping_patience=1)
    )
    give(monkeypatch, 2.0, 1.0)
    first = judged(stopping, recordings, "run", track)
    again = judged(stopping, recordings, "run", track, resume=True)
    assert (steps(first), steps(again)) == ([1, 2, 3, 4], [])
    assert first[-1] == again[-1]
    assert first[-1].reason == "1 validation without a gain of 0.01 dB"
    patient = replace(
        stopping, schedule=replace(stopping.schedule, early_stopping_patience=0, steps=6)
    )
    give(monkeypatch, 3.0)
    assert steps(judged(patient, recordings, "run", track, resume=True)) == [5, 6]


def test_what_a_run_reached_is_its_best(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, 2.0, 1.0)
    events = judged(recipe, recordings, "run", track)
    assert [(event.best, event.best_mean) for event in validations(events)] == [
        (True, 2.0),
        (False, 2.0),
    ]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].best_mean == 2.0
    summary = read_summary(recordings / "run")
    assert (summary.step, summary.best_mean, summary.sdr) == (2, 2.0, {"vocals": 2.0})


def test_best_weights_that_are_gone_are_replaced_by_the_last(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, 2.0, 1.0)
    judged(recipe, recordings, "run", track)
    (recordings / "run" / BEST).unlink()
    judged(recipe, recordings, "run", track, resume=True)
    assert resolve.load(recordings / "run" / BEST).stems == ("vocals",)
    assert read_summary(recordings / "run").step == 4


def test_a_run_that_was_judged_goes_on_being_judged(
    recordings: Path, recipe: Recipe, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its last weights would take the place of its best."""
    give(monkeypatch, 2.0, 1.0)
    judged(recipe, recordings, "run", track)
    best = (recordings / "run" / BEST).read_bytes()
    longer = replace(recipe, schedule=replace(recipe.schedule, steps=6))
    with pytest.raises(
        UsageError, match=r"so far \(2\.00 dB SDR after step 2\).*Use the same --data and"
    ):
        judged(longer, recordings, "run", resume=True)
    assert (recordings / "run" / BEST).read_bytes() == best
