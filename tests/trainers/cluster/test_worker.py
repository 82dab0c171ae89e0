"""Events and commands of a worker; worked by hand, with a channel and a storage of the test."""

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


class Channel:
    """Answers every event with the same command."""

    def __init__(self, command: Command = "") -> None:
        self.command, self.events = command, list[Event]()

    def send(self, event: Event) -> Command:
        self.events.append(event)
        return self.command

    def request(self, event: Event | None = None) -> Command:
        return self.command


class Storage:
    output = Path("/shared/run")

    def __init__(self) -> None:
        self.stored: list[Path] = []

    def store(self, folder: Path, require_current: Callable[[], None]) -> None:
        require_current()
        self.stored.append(folder)


class Alone(RayDDPStrategy):
    """Sums over workers, with a fixed value from the others."""

    others = 0.0

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        return {name: value + self.others for name, value in values.items()}


def worker(channel: Channel, storage: Storage, rank: int = 0) -> Alone:
    parts: list[Any] = [channel, storage]
    return Alone(CPU, rank, 2, *parts)


def step(number: int) -> StepDone:
    return StepDone(number, {}, {}, {}, 0.1, 0.0)


def test_only_the_first_worker_sends_events() -> None:
    channel = Channel()
    for rank in range(2):
        EventForwarder(worker(channel, Storage(), rank))(step(1))
    assert channel.events == [step(1)]


def test_excerpts_are_not_sent() -> None:
    channel = Channel()
    waves = {"mixture": np.zeros((2, 8))}
    EventForwarder(worker(channel, Storage()))(ExcerptRendered(9, "song", 8000, waves, {}))
    assert channel.events == []


def test_weights_are_reported_by_the_path_that_users_see() -> None:
    channel = Channel()
    EventForwarder(worker(channel, Storage()))(RunFinished(9, 1.0, "/tmp/rank0/best", "done"))
    assert channel.events == [RunFinished(9, 1.0, str(Storage.output / BEST), "done")]


@pytest.mark.parametrize(
    ("command", "error"),
    [("pause", JointInterrupt), ("stop", JointInterrupt), ("end", SupersededError)],
)
@pytest.mark.parametrize("rank", range(2))
def test_all_obey_after_the_same_step(command: Command, error: type, rank: int) -> None:
    """Only the first receives the command; the sum tells the others."""
    one = worker(Channel(command if rank == 0 else ""), Storage(), rank)
    object.__setattr__(one, "others", 0.0 if rank == 0 else float(COMMANDS.index(command)))
    report = EventForwarder(one)
    with pytest.raises(error):
        report(step(7))
    assert report.step == 7


def test_a_checkpoint_is_stored_unless_another_group_took_over() -> None:
    storage = Storage()
    worker(Channel(), storage).persist(Path("here"))
    assert storage.stored == [Path("here")]
    with pytest.raises(SupersededError):
        worker(Channel("end"), storage).persist(Path("here"))
    assert storage.stored == [Path("here")]


@pytest.mark.parametrize(
    ("first_step", "songs", "sentence"),
    [(5, 1, "the checkpoint"), (4, 2, "the songs to validate")],
)
def test_workers_that_disagree_do_not_begin(first_step: int, songs: int, sentence: str) -> None:
    """The other one begins after step 4, with one song to validate."""
    started = RunStarted("r", "a", 1, 0, "cpu", "fp32", first_step, 9, 1.0, songs)
    one = worker(Channel(), Storage())
    others = {"the checkpoint": 4, "the songs to validate": 1}
    others |= {f"{name} squared": value**2 for name, value in others.items()}
    object.__setattr__(
        one, "all_reduce", lambda values: {k: v + others[k] for k, v in values.items()}
    )
    with pytest.raises(UnequalError, match=sentence):
        EventForwarder(one)(started)


def test_workers_that_agree_begin_at_the_step_of_the_checkpoint() -> None:
    channel = Channel()
    started = RunStarted("r", "a", 1, 0, "cpu", "fp32", 4, 9, 1.0, 1)
    one = worker(channel, Storage())
    object.__setattr__(one, "all_reduce", lambda values: {k: 2 * v for k, v in values.items()})
    report = EventForwarder(one)
    report(started)
    assert (channel.events, report.step) == ([started], 4)
