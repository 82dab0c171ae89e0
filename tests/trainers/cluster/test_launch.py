"""The monitor of a run and its events; worked by hand, without Ray."""

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
from trainers.cluster.launch import RunMonitor, scaling_config
from trainers.loop.events import RunStarted

STARTED = WorkerGroupStarted(1, ("a",))
LOST = WorkerGroupLost((0,), "it died")
END = WorkerGroupFinished(True, 9)
AWAITED = WorkerGroupAwaited(1, 2)


class Script:
    """The channel, Ray's thread and the watcher in one: the events of each poll, one by one."""

    error: BaseException | None = None

    def __init__(self, *polls: Iterable[Event]) -> None:
        self.polls = [list(events) for events in polls]
        self.starts = self.acknowledged = 0

    def events(self, timeout: float) -> list[Event]:
        return self.polls.pop(0) if self.polls else []

    def acknowledge(self) -> None:
        self.acknowledged += 1

    @property
    def has_ended(self) -> bool:
        return not self.polls

    def check(self) -> Iterator[Event]:
        yield AWAITED

    def restart(self) -> None:
        pass

    def start(self) -> None:
        self.starts += 1


def reported(script: Script) -> list[Event]:
    events: list[Event] = []
    part: Any = script
    RunMonitor(part, part, events.append, part).follow()
    return events


def started(step: int) -> RunStarted:
    return RunStarted("r", "a", 1, 0, "cpu", "fp32", step, 10, 1.0, 0)


def test_all_events_are_reported_until_the_workers_have_finished() -> None:
    assert reported(Script([STARTED], [started(0)], [END], [LOST])) == [STARTED, started(0), END]


@pytest.mark.parametrize("last", [WorkerGroupFinished(False, 4), LOST], ids=["left", "lost"])
def test_workers_that_are_to_stop_are_awaited_while_they_work(last: Event) -> None:
    events: list[Event] = []
    part: Any = Script([STARTED], [started(0)], [last], [STARTED])
    monitor = RunMonitor(part, part, events.append, part)
    monitor.wait_until_idle()
    assert events == []
    monitor.is_working = True
    monitor.wait_until_idle()
    assert events == [STARTED, started(0), last]


def test_the_cluster_is_watched_while_no_worker_trains() -> None:
    events = reported(
        Script([], [STARTED], [], [LOST], [STARTED], [WorkerGroupPaused(3)], [STARTED], [END])
    )
    assert events == [
        AWAITED,
        STARTED,
        LOST,
        AWAITED,
        STARTED,
        WorkerGroupPaused(3),
        AWAITED,
        STARTED,
        END,
    ]


def test_the_error_of_a_worker_is_raised_as_it_was() -> None:
    failed = WorkerGroupFailed("NumericalError", "The gradient is not finite")
    with pytest.raises(NumericalError, match=r"^The gradient is not finite$"):
        reported(Script([STARTED], [failed]))


def test_losses_without_a_new_checkpoint_are_the_end() -> None:
    group = [STARTED, started(5), LOST]
    with pytest.raises(ClusterError, match=r"3 times in a row .*it died.*--resume"):
        reported(Script(group, group, group, [END]))


def test_losses_with_new_checkpoints_are_none() -> None:
    polls = [[STARTED, started(step), LOST] for step in range(6)]
    assert reported(Script(*polls, [END]))[-1] == END


def test_the_end_of_ray_train_is_a_loss_and_it_is_started_again() -> None:
    script = Script([STARTED])
    script.error = RuntimeError("much\nno room on disk")
    with pytest.raises(ClusterError, match=r"3 times in a row.*no room on disk.*--resume"):
        reported(script)
    assert script.starts >= 2


def test_ctrl_c_waits_for_the_event_that_is_handled() -> None:
    """It is reported once, and the next one is not lost."""
    script = Script([STARTED, LOST])
    events: list[Event] = []

    def report(event: Event) -> None:
        signal.raise_signal(signal.SIGINT)
        events.append(event)

    part: Any = script
    with pytest.raises(KeyboardInterrupt):
        RunMonitor(part, part, report, part).follow()
    assert (events, script.acknowledged) == ([STARTED], 1)


@pytest.mark.parametrize(
    ("count", "per_worker", "expected"),
    [
        (WorkerCount(2, 2), WorkerResources(3, 0), (2, False, {"CPU": 3})),
        (WorkerCount(2, 8), WorkerResources(1, 1), ((2, 8), True, {"CPU": 1, "GPU": 1})),
    ],
)
def test_a_plan_for_ray_train(
    count: WorkerCount, per_worker: WorkerResources, expected: object
) -> None:
    config = scaling_config(WorkerGroupPlan(count, per_worker, 2, ()))
    assert (config.num_workers, config.use_gpu, config.resources_per_worker) == expected
