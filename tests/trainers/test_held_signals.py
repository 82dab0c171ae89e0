"""Signals that arrive while a run writes its logs.

Expected: by docs/training.md, Ctrl-C and ``kill`` finish what is being written, save, and stop.
Python discards exceptions that are raised in a callback of a weak reference, which matplotlib and
soundfile use, so a signal that is not held there would be lost.
"""

from __future__ import annotations

import signal
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from model_zoo.catalogue.resolve import LAST
from stemcli.engine.events import Event
from tests.trainers.runs import CPU, make_track, voices
from trainers.config import Recipe
from trainers.data.multitrack import ValidationTrack
from trainers.loop import trainer
from trainers.loop.events import ExcerptRendered, RunStarted, StepDone
from trainers.loop.loggers.backends import ExcerptLogger, HistoryLogger, TensorBoardLogger
from trainers.loop.trainer import train

SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}


class Marker:
    """An object whose weak references tell when it is gone."""


def end(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


@pytest.fixture
def terminated() -> Iterator[None]:
    """SIGTERM raises SystemExit, as in the command."""
    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


def signalling(number: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, with a signal in a callback of a weak reference before it."""

    def signal_and_call(*args: Any, **more: Any) -> Any:
        marker = Marker()
        reference = weakref.ref(marker, lambda _: signal.raise_signal(number))
        del marker
        assert reference() is None
        return call(*args, **more)

    return signal_and_call


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (TensorBoardLogger, "audio"),
        (ExcerptLogger, "audio"),
        (ExcerptLogger, "picture"),
        (HistoryLogger, "scalars"),
        (ValidationTrack, "read"),
        (trainer, "render_excerpt"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_signal_while_a_log_is_written_stops_and_saves(
    recordings: Path,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    place: Any,
    name: str,
) -> None:
    track = make_track(voices(recipe, recordings), recordings / "track")
    recipe = replace(recipe, log=replace(recipe.log, songs=2, every=2))
    events: list[Event] = []

    def record(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunStarted):  # the check of the data reads validation songs as well
            monkeypatch.setattr(place, name, signalling(number, getattr(place, name)))

    with pytest.raises(SIGNALS[number]):
        train(recipe, recordings, (track, track), recordings / "run", CPU, record)
    assert [event.step for event in events if isinstance(event, StepDone)][-1] <= 2
    assert not any(isinstance(event, ExcerptRendered) for event in events)
    assert (recordings / "run" / LAST).exists()


def test_a_signal_while_validation_songs_are_checked_stops_before_the_run(
    recordings: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = make_track(voices(recipe, recordings), recordings / "track")
    reading = signalling(signal.SIGINT, ValidationTrack.read)
    monkeypatch.setattr(ValidationTrack, "read", reading)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, recordings, (track,), recordings / "run", CPU, lambda _: None)
    assert not (recordings / "run").exists()
