"""What the starter of a run makes of its letters; by hand, without Ray."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from model_zoo.errors import ClusterError, NumericalError
from stemcli.engine.events import Event
from trainers.cluster.capacity import WorkerGroupPlan, WorkerResources
from trainers.cluster.job import (
    WorkerCount,
    WorkerGroupAwaited,
    WorkerGroupFailed,
    WorkerGroupFinished,
    WorkerGroupLost,
    WorkerGroupPaused,
    WorkerGroupStarted,
)
from trainers.cluster.launch import _Listener, scaling
from trainers.loop.events import RunStarted

CREW = WorkerGroupStarted(1, ("a",))
LOST = WorkerGroupLost((0,), "it died")
END = WorkerGroupFinished(True, 9)
AWAITED = WorkerGroupAwaited(1, 2)


class Script:
    """A mailbox, Ray's thread and a watch, all after the same script: letters of each look."""

    error: BaseException | None = None

    def __init__(self, *looks: Iterable[Event]) -> None:
        self.looks = [list(look) for look in looks]
        self.begun = self.read = 0

    def letters(self, seconds: float) -> list[Event]:
        return self.looks.pop(0) if self.looks else []

    def done(self) -> None:
        self.read += 1

    @property
    def is_over(self) -> bool:
        return not self.looks

    def look(self) -> Iterator[Event]:
        yield AWAITED

    def begin(self) -> None:
        self.begun += 1


def heard(script: Script) -> list[Event]:
    told: list[Event] = []
    part: Any = script
    _Listener(part, part, told.append, part).until_the_end()
    return told


def started(step: int) -> RunStarted:
    return RunStarted("r", "a", 1, 0, "cpu", "fp32", step, 10, 1.0, 0)


def test_all_letters_are_told_up_to_the_goodbye() -> None:
    assert heard(Script([CREW], [started(0)], [END], [LOST])) == [CREW, started(0), END]


@pytest.mark.parametrize("last", [WorkerGroupFinished(False, 4), LOST], ids=["left", "lost"])
def test_who_is_told_to_stop_is_awaited_while_it_works(last: Event) -> None:
    told: list[Event] = []
    part: Any = Script([CREW], [started(0)], [last], [CREW])
    listener = _Listener(part, part, told.append, part)
    listener.until_nobody_works()
    assert told == []
    listener.at_work = True
    listener.until_nobody_works()
    assert told == [CREW, started(0), last]


def test_the_cluster_is_watched_while_nobody_works() -> None:
    told = heard(Script([], [CREW], [], [LOST], [CREW], [WorkerGroupPaused(3)], [CREW], [END]))
    assert told == [AWAITED, CREW, LOST, AWAITED, CREW, WorkerGroupPaused(3), AWAITED, CREW, END]


def test_the_error_of_a_worker_is_raised_as_it_was() -> None:
    failed = WorkerGroupFailed("NumericalError", "The gradient is not finite")
    with pytest.raises(NumericalError, match=r"^The gradient is not finite$"):
        heard(Script([CREW], [failed]))


def test_losses_without_a_new_checkpoint_are_the_end() -> None:
    crew = [CREW, started(5), LOST]
    with pytest.raises(ClusterError, match=r"3 times in a row .*it died.*--resume"):
        heard(Script(crew, crew, crew, [END]))


def test_losses_with_new_checkpoints_are_none() -> None:
    looks = [[CREW, started(step), LOST] for step in range(6)]
    assert heard(Script(*looks, [END]))[-1] == END


def test_the_end_of_ray_is_a_loss_and_another_begins() -> None:
    script = Script([CREW])
    script.error = RuntimeError("much\nno room on disk")
    with pytest.raises(ClusterError, match=r"3 times in a row.*no room on disk.*--resume"):
        heard(script)
    assert script.begun >= 2


def test_ctrl_c_waits_for_the_letter_that_is_read() -> None:
    """It is told once, and the next one is not lost."""
    script = Script([CREW, LOST])
    told: list[Event] = []

    def report(event: Event) -> None:
        signal.raise_signal(signal.SIGINT)
        told.append(event)

    part: Any = script
    with pytest.raises(KeyboardInterrupt):
        _Listener(part, part, report, part).until_the_end()
    assert (told, script.read) == ([CREW], 1)


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        (WorkerCount(2, 2), WorkerResources(3, 0), (2, False, {"CPU": 3})),
        (WorkerCount(2, 8), WorkerResources(1, 1), ((2, 8), True, {"CPU": 1, "GPU": 1})),
    ],
)
def test_a_plan_in_words_of_ray(
    count: WorkerCount, share: WorkerResources, expected: object
) -> None:
    config = scaling(WorkerGroupPlan(count, share, 2, ()))
    assert (config.num_workers, config.use_gpu, config.resources_per_worker) == expected
