"""What a worker tells and does; by hand, with a line and a storage of our own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_zoo.adoption import BEST
from stemcli.engine.events import Event
from trainers.cluster.post import Order
from trainers.cluster.worker import ORDERS, RayWorker, Reporter, SupersededError
from trainers.loop.events import Listened, RunFinished, StepDone
from trainers.loop.interrupt import JointInterrupt

CPU = torch.device("cpu")


class Line:
    """Answers every letter with the same order."""

    def __init__(self, order: Order = "") -> None:
        self.order, self.letters = order, list[Event]()

    def tell(self, letter: Event) -> Order:
        self.letters.append(letter)
        return self.order

    def ask(self, letter: Event | None = None) -> Order:
        return self.order


class Storage:
    place = Path("/shared/run")

    def __init__(self) -> None:
        self.stored: list[Path] = []

    def store(self, folder: Path) -> None:
        self.stored.append(folder)


class Alone(RayWorker):
    """Sums over workers of which the others say what ``heard`` is."""

    heard = 0.0

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        return {name: value + self.heard for name, value in values.items()}


def worker(line: Line, storage: Storage, rank: int = 0) -> Alone:
    parts: list[Any] = [line, storage]
    return Alone(CPU, rank, 2, *parts)


def step(number: int) -> StepDone:
    return StepDone(number, {}, {}, {}, 0.1, 0.0)


def test_the_first_worker_tells_and_the_others_are_silent() -> None:
    line = Line()
    for rank in range(2):
        Reporter(worker(line, Storage(), rank))(step(1))
    assert line.letters == [step(1)]


def test_sound_stays_where_it_is() -> None:
    line = Line()
    waves = {"mixture": np.zeros((2, 8))}
    Reporter(worker(line, Storage()))(Listened(9, "song", 8000, waves, {}))
    assert line.letters == []


def test_the_weights_are_told_where_users_find_them() -> None:
    line = Line()
    Reporter(worker(line, Storage()))(RunFinished(9, 1.0, "/tmp/rank0/best", "done"))
    assert line.letters == [RunFinished(9, 1.0, str(Storage.place / BEST), "done")]


@pytest.mark.parametrize(
    ("order", "error"),
    [("pause", JointInterrupt), ("stop", JointInterrupt), ("end", SupersededError)],
)
@pytest.mark.parametrize("rank", range(2))
def test_all_obey_after_the_same_step(order: Order, error: type, rank: int) -> None:
    """The order comes to the first; the others hear it from the sum."""
    one = worker(Line(order if rank == 0 else ""), Storage(), rank)
    object.__setattr__(one, "heard", 0.0 if rank == 0 else float(ORDERS.index(order)))
    report = Reporter(one)
    with pytest.raises(error):
        report(step(7))
    assert report.step == 7


def test_a_checkpoint_is_stored_unless_another_crew_took_over() -> None:
    storage = Storage()
    worker(Line(), storage).keep(Path("here"))
    assert storage.stored == [Path("here")]
    with pytest.raises(SupersededError):
        worker(Line("end"), storage).keep(Path("here"))
    assert storage.stored == [Path("here")]
