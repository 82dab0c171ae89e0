"""What a worker tells and does; by hand, with a line and a storage of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_zoo.catalogue.resolve import BEST
from stemcli.engine.events import Event
from stemcli.process import JointInterrupt
from trainers.cluster.channel import Command
from trainers.cluster.worker import (
    COMMANDS,
    EventForwarder,
    RayDDPStrategy,
    SupersededError,
    UnequalError,
)
from trainers.loop.events import ExcerptRendered, RunFinished, RunStarted, StepDone

CPU = torch.device("cpu")


class Line:
    """Answers every letter with the same command."""

    def __init__(self, command: Command = "") -> None:
        self.command, self.letters = command, list[Event]()

    def tell(self, letter: Event) -> Command:
        self.letters.append(letter)
        return self.command

    def ask(self, letter: Event | None = None) -> Command:
        return self.command


class Storage:
    place = Path("/shared/run")

    def __init__(self) -> None:
        self.stored: list[Path] = []

    def store(self, folder: Path, require_right: Callable[[], None]) -> None:
        require_right()
        self.stored.append(folder)


class Alone(RayDDPStrategy):
    """Sums over workers of which the others say what ``heard`` is."""

    heard = 0.0

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        return {name: value + self.heard for name, value in values.items()}


def worker(line: Line, storage: Storage, rank: int = 0) -> Alone:
    parts: list[Any] = [line, storage]
    return Alone(CPU, rank, 2, *parts)


def step(number: int) -> StepDone:
    return StepDone(number, {}, {}, {}, 0.1, 0.0)


def test_the_first_worker_tells_and_the_others_are_silent() -> None:
    line = Line()
    for rank in range(2):
        EventForwarder(worker(line, Storage(), rank))(step(1))
    assert line.letters == [step(1)]


def test_sound_stays_where_it_is() -> None:
    line = Line()
    waves = {"mixture": np.zeros((2, 8))}
    EventForwarder(worker(line, Storage()))(ExcerptRendered(9, "song", 8000, waves, {}))
    assert line.letters == []


def test_the_weights_are_told_where_users_find_them() -> None:
    line = Line()
    EventForwarder(worker(line, Storage()))(RunFinished(9, 1.0, "/tmp/rank0/best", "done"))
    assert line.letters == [RunFinished(9, 1.0, str(Storage.place / BEST), "done")]


@pytest.mark.parametrize(
    ("command", "error"),
    [("pause", JointInterrupt), ("stop", JointInterrupt), ("end", SupersededError)],
)
@pytest.mark.parametrize("rank", range(2))
def test_all_obey_after_the_same_step(command: Command, error: type, rank: int) -> None:
    """The command comes to the first; the others hear it from the sum."""
    one = worker(Line(command if rank == 0 else ""), Storage(), rank)
    object.__setattr__(one, "heard", 0.0 if rank == 0 else float(COMMANDS.index(command)))
    report = EventForwarder(one)
    with pytest.raises(error):
        report(step(7))
    assert report.step == 7


def test_a_checkpoint_is_stored_unless_another_crew_took_over() -> None:
    storage = Storage()
    worker(Line(), storage).persist(Path("here"))
    assert storage.stored == [Path("here")]
    with pytest.raises(SupersededError):
        worker(Line("end"), storage).persist(Path("here"))
    assert storage.stored == [Path("here")]


@pytest.mark.parametrize(
    ("first_step", "songs", "sentence"),
    [(5, 1, "the checkpoint"), (4, 2, "the songs to validate")],
)
def test_workers_that_disagree_do_not_begin(first_step: int, songs: int, sentence: str) -> None:
    """The other one begins after step 4, with one song to validate."""
    started = RunStarted("r", "a", 1, 0, "cpu", "fp32", first_step, 9, 1.0, songs)
    one = worker(Line(), Storage())
    others = {"the checkpoint": 4, "the songs to validate": 1}
    others |= {f"{name} squared": value**2 for name, value in others.items()}
    object.__setattr__(one, "total", lambda values: {k: v + others[k] for k, v in values.items()})
    with pytest.raises(UnequalError, match=sentence):
        EventForwarder(one)(started)


def test_workers_that_agree_begin_at_the_step_of_the_checkpoint() -> None:
    line = Line()
    started = RunStarted("r", "a", 1, 0, "cpu", "fp32", 4, 9, 1.0, 1)
    one = worker(line, Storage())
    object.__setattr__(one, "total", lambda values: {k: 2 * v for k, v in values.items()})
    report = EventForwarder(one)
    report(started)
    assert (line.letters, report.step) == ([started], 4)
