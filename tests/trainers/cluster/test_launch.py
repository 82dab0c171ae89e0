"""The monitor of a run and its events, without Ray."""

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
    """Fakes channel, Ray's thread and watcher at once, with the events of each poll."""

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
    fake: Any = script
    RunMonitor(fake, fake, events.append, fake).follow()
    return events


def started(step: int) -> RunStarted:
    return RunStarted("r", "a", 1, 0, "cpu", "fp32", step, 10, 1.0, 0)


def test_all_events_are_reported_until_the_workers_have_finished() -> None:
    assert reported(Script([STARTED], [started(0)], [END], [LOST])) == [STARTED, started(0), END]


@pytest.mark.parametrize("last", [WorkerGroupFinished(False, 4), LOST], ids=["left", "lost"])
def test_stopping_waits_for_working_workers(last: Event) -> None:
    events: list[Event] = []
    fake: Any = Script([STARTED], [started(0)], [last], [STARTED])
    monitor = RunMonitor(fake, fake, events.append, fake)
    monitor.wait_until_idle()
    assert events == []
    monitor.is_working = True
    monitor.wait_until_idle()
    assert events == [STARTED, started(0), last]


def test_capacity_is_watched_while_no_worker_trains() -> None:
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


def test_worker_errors_keep_type_and_message() -> None:
    failed = WorkerGroupFailed("NumericalError", "The gradient is not finite")
    with pytest.raises(NumericalError, match=r"^The gradient is not finite$"):
        reported(Script([STARTED], [failed]))


def test_repeated_losses_without_progress_end_the_run() -> None:
    group = [STARTED, started(5), LOST]
    with pytest.raises(ClusterError, match=r"3 times in a row .*it died.*--resume"):
        reported(Script(group, group, group, [END]))


def test_losses_with_progress_do_not_end_the_run() -> None:
    polls = [[STARTED, started(step), LOST] for step in range(6)]
    assert reported(Script(*polls, [END]))[-1] == END


def test_ray_train_is_restarted_after_an_error() -> None:
    script = Script([STARTED])
    script.error = RuntimeError("much\nno room on disk")
    with pytest.raises(ClusterError, match=r"3 times in a row.*no room on disk.*--resume"):
        reported(script)
    assert script.starts >= 2


def test_ctrl_c_waits_for_the_current_event() -> None:
    """The event is reported once, and the next one is not lost."""
    script = Script([STARTED, LOST])
    events: list[Event] = []

    def report(event: Event) -> None:
        signal.raise_signal(signal.SIGINT)
        events.append(event)

    fake: Any = script
    with pytest.raises(KeyboardInterrupt):
        RunMonitor(fake, fake, report, fake).follow()
    assert (events, script.acknowledged) == ([STARTED], 1)


@pytest.mark.parametrize(
    ("count", "per_worker", "expected"),
    [
        (WorkerCount(2, 2), WorkerResources(3, 0), (2, False, {"CPU": 3})),
        (WorkerCount(2, 8), WorkerResources(1, 1), ((2, 8), True, {"CPU": 1, "GPU": 1})),
    ],
)
def test_scaling_config_of_a_plan(
    count: WorkerCount, per_worker: WorkerResources, expected: object
) -> None:
    config = scaling_config(WorkerGroupPlan(count, per_worker, 2, ()))
    assert (config.num_workers, config.use_gpu, config.resources_per_worker) == expected
