"""Events and commands of a worker, with a fake channel and storage."""

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


class FakeChannel:
    """A fake channel that answers every event with the same command."""

    def __init__(self, command: Command = "") -> None:
        self.command, self.events = command, list[Event]()

    def send(self, event: Event) -> Command:
        self.events.append(event)
        return self.command

    def request(self, event: Event | None = None) -> Command:
        return self.command


class FakeStorage:
    output = Path("/shared/run")

    def __init__(self) -> None:
        self.stored: list[Path] = []

    def store(self, folder: Path, require_current: Callable[[], None]) -> None:
        require_current()
        self.stored.append(folder)


class FakeStrategy(RayDDPStrategy):
    """A strategy whose sums over workers add a fixed value for the others."""

    others = 0.0

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        return {name: value + self.others for name, value in values.items()}


def worker(channel: FakeChannel, storage: FakeStorage, rank: int = 0) -> FakeStrategy:
    fakes: list[Any] = [channel, storage]
    return FakeStrategy(CPU, rank, 2, *fakes)


def step(number: int) -> StepDone:
    return StepDone(number, {}, {}, {}, 0.1, 0.0)


def test_only_the_first_worker_sends_events() -> None:
    channel = FakeChannel()
    for rank in range(2):
        EventForwarder(worker(channel, FakeStorage(), rank))(step(1))
    assert channel.events == [step(1)]


def test_excerpts_are_not_sent() -> None:
    channel = FakeChannel()
    waves = {"mixture": np.zeros((2, 8))}
    EventForwarder(worker(channel, FakeStorage()))(ExcerptRendered(9, "song", 8000, waves, {}))
    assert channel.events == []


def test_weights_are_reported_with_the_user_s_path() -> None:
    channel = FakeChannel()
    EventForwarder(worker(channel, FakeStorage()))(RunFinished(9, 1.0, "/tmp/rank0/best", "done"))
    assert channel.events == [RunFinished(9, 1.0, str(FakeStorage.output / BEST), "done")]


@pytest.mark.parametrize(
    ("command", "error"),
    [("pause", JointInterrupt), ("stop", JointInterrupt), ("end", SupersededError)],
)
@pytest.mark.parametrize("rank", range(2))
def test_all_workers_obey_after_the_same_step(command: Command, error: type, rank: int) -> None:
    """Only the first worker receives the command; the sum passes it to the others."""
    first_worker = worker(FakeChannel(command if rank == 0 else ""), FakeStorage(), rank)
    object.__setattr__(first_worker, "others", 0.0 if rank == 0 else float(COMMANDS.index(command)))
    report = EventForwarder(first_worker)
    with pytest.raises(error):
        report(step(7))
    assert report.step == 7


def test_a_checkpoint_is_stored_unless_another_group_took_over() -> None:
    storage = FakeStorage()
    worker(FakeChannel(), storage).persist(Path("here"))
    assert storage.stored == [Path("here")]
    with pytest.raises(SupersededError):
        worker(FakeChannel("end"), storage).persist(Path("here"))
    assert storage.stored == [Path("here")]


@pytest.mark.parametrize(
    ("first_step", "songs", "message"),
    [(5, 1, "the checkpoint"), (4, 2, "the songs to validate")],
)
def test_workers_that_disagree_do_not_start(first_step: int, songs: int, message: str) -> None:
    """The other worker starts after step 4, with one validation song."""
    started = RunStarted("r", "a", 1, 0, "cpu", "fp32", first_step, 9, 1.0, songs)
    first_worker = worker(FakeChannel(), FakeStorage())
    others = {"the checkpoint": 4, "the songs to validate": 1}
    others |= {f"{name} squared": value**2 for name, value in others.items()}
    object.__setattr__(
        first_worker, "all_reduce", lambda values: {k: v + others[k] for k, v in values.items()}
    )
    with pytest.raises(UnequalError, match=message):
        EventForwarder(first_worker)(started)


def test_workers_that_agree_start_at_the_checkpoint() -> None:
    channel = FakeChannel()
    started = RunStarted("r", "a", 1, 0, "cpu", "fp32", 4, 9, 1.0, 1)
    first_worker = worker(channel, FakeStorage())
    object.__setattr__(
        first_worker, "all_reduce", lambda values: {k: 2 * v for k, v in values.items()}
    )
    report = EventForwarder(first_worker)
    report(started)
    assert (channel.events, report.step) == ([started], 4)
