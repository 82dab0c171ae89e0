"""Starts, monitors and ends a training run on a Ray cluster.

::

    train_on_cluster ──▶ TorchTrainer.fit ──▶ controller ──▶ train_worker, on each machine
            ▲                                     │                │
            └─── DriverChannel ◀── ChannelActor ◀─┴────────────────┘

Ray Train places the workers, restarts them when some are lost, and adds machines that join later if
the number of workers is a range. This module and the worker add what it does not offer:

- Ray retries any error of a worker, and counts failures over the whole run. Here an error that
  would come again ends the run with its message, and only losses without a new checkpoint in
  between count (``test_launch.py``).
- Ray stores checkpoints in folders of its own. Here the folder of a run is the same as without a
  cluster, and the run can be resumed without one (``test_on_this_machine.py``); see
  :mod:`trainers.cluster.storage`.
- Ray kills workers on Ctrl-C. Here they finish their step, save and exit
  (``test_on_this_machine.py``); see :mod:`trainers.cluster.channel`.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from model_zoo.errors import ClusterError, revived
from stemcli.cluster import ray_session
from stemcli.cluster.nodes import check_device
from stemcli.cluster.ray_private import START_TIMEOUT_VARIABLE
from stemcli.engine.events import Event, EventHandler
from stemcli.process import environment, held_interrupts
from stemcli.version import version
from trainers.cluster.capacity import CapacityWatcher, WorkerGroupPlan, wait_for_capacity
from trainers.cluster.channel import DriverChannel
from trainers.cluster.job import (
    TrainingJob,
    WorkerAssignment,
    WorkerCount,
    WorkerGroupAwaited,
    WorkerGroupFailed,
    WorkerGroupFinished,
    WorkerGroupLost,
    WorkerGroupPaused,
    WorkerGroupStarted,
)
from trainers.cluster.preflight import preflight
from trainers.cluster.ray_train import ControllerHooks, InterfaceTorchConfig, group_lost
from trainers.cluster.worker import train_worker
from trainers.loop.events import RunStarted

EVENT_TIMEOUT_S = 0.5
"""Seconds to wait for events before checking whether Ray Train is still running."""

RESIZE_CHECK_INTERVAL_S = 10.0
"""Seconds between Ray's checks of the cluster for room for another worker."""

START_TIMEOUT_S = "10"
"""Seconds that Ray waits for all workers of a group to start, instead of 60: for a while it takes a
lost machine for one with room, and waits in vain."""

SHUTDOWN_TIMEOUT_S = 30.0
"""Seconds for Ray to end workers that have finished."""

MAX_LOSSES = 3
"""Worker groups that may be lost in a row without a new checkpoint."""


def run_on_cluster(
    job: TrainingJob,
    workers: str,
    wait: float,
    device: str,
    report: EventHandler,
    *,
    verbose: bool,
) -> None:
    """Train on the cluster that RAY_ADDRESS names, or on this machine alone.

    Args:
        job: the training run.
        workers: how many, as :meth:`WorkerCount.parse` reads it; empty for the default.
        wait: seconds to wait for machines.
        device: ``auto``, ``cpu`` or ``cuda``.
        report: receives all events.
        verbose: show what Ray prints.

    Raises:
        UsageError: ``workers`` or ``device`` is malformed.
        ClusterError: the cluster cannot be joined, has no room, or its machines differ.
        StorageError: not every machine can write the folder of the run.
        DataError: not every machine sees the data.
        StemError: as :func:`train_on_cluster`.
    """
    check_device(device)
    count = WorkerCount.parse(workers) if workers else None
    reported: set[WorkerGroupAwaited] = set()

    def report_waiting(plan: WorkerGroupPlan) -> None:
        event = WorkerGroupAwaited(plan.room, plan.count.least)
        if event not in reported:
            reported.add(event)
            report(event)

    with ray_session(verbose):
        plan = wait_for_capacity(device, count, wait, report_waiting)
        preflight(job.output, job.paths, plan.candidates)
        train_on_cluster(job, plan, report)


def train_on_cluster(job: TrainingJob, plan: WorkerGroupPlan, report: EventHandler) -> None:
    """Train on the cluster that this process has joined, until the run is complete.

    Args:
        job: the training run.
        plan: the workers.
        report: receives the events of the loop and of :mod:`trainers.cluster.job`.

    Raises:
        StemError: a worker met an error that would come again in another attempt.
        ClusterError: several worker groups were lost in a row, or Ray itself failed.
        KeyboardInterrupt: the run was interrupted, and is saved.
        SystemExit: the same, by SIGTERM.
    """
    channel = DriverChannel()
    assignment = WorkerAssignment(job, uuid4().hex, channel.actor, plan.per_worker.cores, version())
    callback = ControllerHooks(channel.actor).callback()
    with tempfile.TemporaryDirectory(prefix="stem-ray-", ignore_cleanup_errors=True) as folder:
        trainer = _TrainerThread(lambda: _trainer(assignment, plan, folder, callback))
        monitor = RunMonitor(channel, trainer, report, CapacityWatcher(plan))
        try:
            monitor.follow()
        except (KeyboardInterrupt, SystemExit):
            channel.command("stop")
            monitor.wait_until_idle()
            raise
        finally:
            if monitor.is_finished:
                trainer.join(SHUTDOWN_TIMEOUT_S)


def _trainer(
    assignment: WorkerAssignment, plan: WorkerGroupPlan, folder: str, callback: Any
) -> TorchTrainer:
    """Create Ray's trainer, which retries forever; :class:`RunMonitor` decides when to give up."""
    return TorchTrainer(
        train_worker,
        train_loop_config={"assignment": assignment},
        torch_config=InterfaceTorchConfig(),
        scaling_config=scaling_config(plan),
        run_config=RunConfig(
            name=assignment.name,
            storage_path=folder,
            failure_config=FailureConfig(max_failures=-1),
            callbacks=[callback],
        ),
    )


def scaling_config(plan: WorkerGroupPlan) -> ScalingConfig:
    """Convert a plan to the configuration of Ray Train."""
    count, per_worker = plan.count, plan.per_worker
    options: dict[str, Any] = {
        "num_workers": (count.least, count.most) if count.is_elastic else count.least,
        "use_gpu": per_worker.gpus > 0,
        "resources_per_worker": per_worker.resources,
        # Fast links between the GPUs of a machine matter more than an even share of cores.
        "placement_strategy": "PACK" if per_worker.gpus else "SPREAD",
        "elastic_resize_monitor_interval_s": RESIZE_CHECK_INTERVAL_S,
    }
    return ScalingConfig(**options)


class _TrainerThread:
    """Runs Ray's trainer in a thread; in the main thread Ray would handle Ctrl-C itself.

    Args:
        make: a new trainer.
    """

    def __init__(self, make: Callable[[], TorchTrainer]) -> None:
        self._make = make
        self.start()

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def start(self) -> None:
        """Train, once more if the last thread has ended."""
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ray_train", daemon=True)
        self._thread.start()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            with environment({START_TIMEOUT_VARIABLE: START_TIMEOUT_S}):
                self._make().fit()
        except BaseException as error:
            self.error = error


class RunMonitor:
    """Reports the events of a run, and gives up after too many losses.

    Attributes:
        is_working: whether a worker group trains.
        is_finished: whether the workers have stored their files and left.
    """

    def __init__(
        self,
        channel: DriverChannel,
        trainer: _TrainerThread,
        report: EventHandler,
        watcher: CapacityWatcher,
    ) -> None:
        self._channel, self._trainer = channel, trainer
        self._report, self._watcher = report, watcher
        self.is_working = False
        self.is_finished = False
        self._first_step = -1
        self._losses = 0

    def follow(self) -> None:
        """Report all events until the workers have finished.

        Raises:
            StemError: as :func:`train_on_cluster`.
        """
        while not self.is_finished:
            self._poll()
            if not (self.is_working or self.is_finished):
                for event in self._watcher.check():
                    self._report(event)

    def wait_until_idle(self) -> None:
        """Report events until no worker trains; a group that is not there is not awaited."""
        while self.is_working:
            self._poll()

    def _poll(self) -> None:
        has_ended = self._trainer.has_ended  # before the events: its last ones may still come
        events = self._channel.events(EVENT_TIMEOUT_S)
        for event in events:
            with held_interrupts():
                self._channel.acknowledge()
                self._handle(event)
        if has_ended and not events and not self.is_finished:
            self._handle(group_lost(self._trainer.error or RuntimeError("Ray Train just ended")))
            self._trainer.start()

    def _handle(self, event: Event) -> None:
        if isinstance(event, WorkerGroupFailed):
            raise revived(event.kind, event.message)
        self._report(event)
        match event:
            case WorkerGroupStarted():
                self.is_working = True
            case WorkerGroupFinished():
                self.is_finished, self.is_working = True, False
            case WorkerGroupPaused():
                self._await_workers()
            case RunStarted():
                if event.first_step > self._first_step:
                    self._losses = 0
                self._first_step = event.first_step
            case WorkerGroupLost():
                self._await_workers()
                self._count_loss(event)

    def _await_workers(self) -> None:
        self.is_working = False
        self._watcher.restart()

    def _count_loss(self, event: WorkerGroupLost) -> None:
        self._losses += 1
        if self._losses == MAX_LOSSES:
            raise ClusterError(
                f"Workers were lost {MAX_LOSSES} times in a row before the run was saved again "
                f"({event.reason}). Check the machines with ray status, save more often with --set "
                "loop.checkpoint_every=N, and run it again with --resume; --verbose shows what Ray "
                "prints"
            )
