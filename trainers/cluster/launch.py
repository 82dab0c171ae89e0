"""Starts, follows and ends a training run on a Ray cluster.

::

    train_on_cluster ──▶ TorchTrainer.fit ──▶ controller ──▶ work, on each machine
            └────────────── Mailbox ◀── Post ◀─────────────────┘

Ray Train keeps the workers: it starts them, begins anew when some are lost, and takes late machines
in where their number is a range. A crew that begins goes on from the last checkpoint.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from model_zoo.errors import ClusterError, revived
from stemcli.cluster import ray_session
from stemcli.cluster.nodes import NodeResources, check_device, list_nodes
from stemcli.engine.events import Event
from stemcli.process import environment, held_interrupts
from stemcli.version import version
from trainers.cluster.capacity import WorkerGroupPlan, WorkerResources, wait_for_capacity
from trainers.cluster.channel import DriverChannel
from trainers.cluster.job import (
    TrainingJob,
    WorkerAssignment,
    WorkerCount,
    WorkerGroupAwaited,
    WorkerGroupEvent,
    WorkerGroupFailed,
    WorkerGroupFinished,
    WorkerGroupLost,
    WorkerGroupPaused,
    WorkerGroupStarted,
    WorkerGroupStarting,
)
from trainers.cluster.preflight import preflight
from trainers.cluster.ray_train import ControllerHooks, InterfaceTorchConfig, loss
from trainers.cluster.worker import train_worker
from trainers.loop.events import EventHandler, RunStarted

CAPACITY_CHECK_INTERVAL = 5.0
"""Seconds between two looks at the cluster."""

AGAIN = 60.0
"""Seconds until the same is said again, and until workers that start are slow."""


class CapacityWatcher:
    """Looks now and then whether there are enough machines, and at how long it takes.

    Args:
        crew: the workers that are awaited.
        look: finds the machines.
        clock: seconds.
    """

    def __init__(
        self,
        crew: WorkerGroupPlan,
        look: Callable[[], Sequence[NodeResources]] = list_nodes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crew, self._find, self._clock = crew, look, clock
        self.begin()

    def begin(self) -> None:
        """A crew was there, and is not any more."""
        self._began = self._clock()
        self._next = self._began + CAPACITY_CHECK_INTERVAL
        self._said: tuple[WorkerGroupEvent, float] | None = None

    def look(self) -> Iterator[WorkerGroupEvent]:
        """What is to be said now, if anything is."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + CAPACITY_CHECK_INTERVAL
        event = self._event(now)
        if event and not self._is_known(event, now):
            self._said = event, now
            yield event

    def _event(self, now: float) -> WorkerGroupEvent | None:
        room, least = places(self._crew.share, self._find()), self._crew.count.least
        if room < least:
            return WorkerGroupAwaited(room, least)
        seconds = int(now - self._began)
        return WorkerGroupStarting(seconds) if seconds >= AGAIN else None

    def _is_known(self, event: WorkerGroupEvent, now: float) -> bool:
        if self._said is None:
            return False
        before, when = self._said
        still_starting = isinstance(event, WorkerGroupStarting) and isinstance(
            before, WorkerGroupStarting
        )
        return (before == event or still_starting) and now < when + AGAIN


def places(share: WorkerResources, machines: Sequence[NodeResources]) -> int:
    """Workers for which the machines would have room if nobody else used them."""
    return sum(share.capacity(machine) for machine in machines)


LISTEN = 0.5
"""Seconds between two looks at whether Ray still works."""

RESIZE_CHECK_INTERVAL = 10.0
"""Seconds between two looks at the cluster for room for another worker."""

START_TIMEOUT_S = "10"
"""Seconds that Ray waits for room that it believes to be there."""

FAREWELL = 30.0
"""Seconds for Ray to end workers that have said goodbye."""

IN_A_ROW = 3
"""Crews that may be lost one after the other without a new checkpoint."""


def train_on_cluster(order: TrainingJob, crew: WorkerGroupPlan, report: EventHandler) -> None:
    """Train on the cluster that this process has joined, until the run is over.

    Args:
        order: what is asked for.
        crew: the workers that do it.
        report: told what the loop tells, and the events of :mod:`trainers.cluster.job`.

    Raises:
        StemError: what a worker met that another try would meet again.
        ClusterError: crew after crew was lost, or Ray itself failed.
        KeyboardInterrupt: it was interrupted; the run is saved.
        SystemExit: the same, by SIGTERM.
    """
    mailbox = DriverChannel()
    assignment = WorkerAssignment(order, uuid4().hex, mailbox.actor, crew.share.cores, version())
    with tempfile.TemporaryDirectory(prefix="stem-ray-", ignore_cleanup_errors=True) as folder:
        fit = _Fit(lambda: _trainer(assignment, crew, folder))
        listener = _Listener(mailbox, fit, report, CapacityWatcher(crew))
        try:
            listener.until_the_end()
        except (KeyboardInterrupt, SystemExit):
            mailbox.command("stop")
            listener.until_nobody_works()
            raise
        finally:
            if listener.has_left:
                fit.join(FAREWELL)


def _trainer(assignment: WorkerAssignment, crew: WorkerGroupPlan, folder: str) -> TorchTrainer:
    """Ray's trainer; it begins anew after any loss: :class:`_Listener` knows when to give up."""
    callbacks: list[Any] = [ControllerHooks(assignment.post)]
    return TorchTrainer(
        train_worker,
        train_loop_config={"assignment": assignment},
        torch_config=InterfaceTorchConfig(),
        scaling_config=scaling(crew),
        run_config=RunConfig(
            name=assignment.name,
            storage_path=folder,
            failure_config=FailureConfig(max_failures=-1),
            callbacks=callbacks,
        ),
    )


def scaling(crew: WorkerGroupPlan) -> ScalingConfig:
    """A crew in Ray's words."""
    count = crew.count
    return ScalingConfig(
        num_workers=(count.least, count.most) if count.is_elastic else count.least,
        use_gpu=crew.share.gpus > 0,
        resources_per_worker=crew.share.resources,
        # Fast paths between the GPUs of a machine are worth more than an even share of cores.
        placement_strategy="PACK" if crew.share.gpus else "SPREAD",
        elastic_resize_monitor_interval_s=RESIZE_CHECK_INTERVAL,
    )


class _Fit:
    """Ray's trainer in a thread of its own, so that this one can listen.

    In the main thread Ray would answer Ctrl-C itself, and end the workers before they can save.

    Args:
        make: a new trainer.
    """

    def __init__(self, make: Callable[[], TorchTrainer]) -> None:
        self._make = make
        self.begin()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def begin(self) -> None:
        """Train, again if need be."""
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ray_train", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            # Ray counts a lost machine for some time; for as long it waits in vain for room there.
            with environment({WORKER_GROUP_START_TIMEOUT_S_ENV_VAR: START_TIMEOUT_S}):
                self._make().fit()
        except BaseException as error:
            self.error = error


class _Listener:
    """Reads the letters of a run until one of them is the last.

    Attributes:
        at_work: whether a crew is together.
        has_left: whether the workers said goodbye.
    """

    def __init__(
        self, mailbox: DriverChannel, fit: _Fit, report: EventHandler, lookout: CapacityWatcher
    ) -> None:
        self._mailbox, self._fit, self._report, self._lookout = mailbox, fit, report, lookout
        self.at_work = False
        self.has_left = False
        self._first_step = -1
        self._losses = 0

    def until_the_end(self) -> None:
        """Report all letters up to the workers' goodbye."""
        while not self.has_left:
            self._listen()
            if not self.at_work and not self.has_left:
                self._report_all(self._lookout.look())

    def until_nobody_works(self) -> None:
        """The same for workers that were told to stop; who is not there need not say goodbye."""
        while self.at_work:
            self._listen()

    def _listen(self) -> None:
        is_over = self._fit.is_over  # asked first: letters may come before it ends
        letters = self._mailbox.events(LISTEN)
        for letter in letters:
            with held_interrupts():
                self._mailbox.acknowledge()
                self._read(letter)
        if is_over and not letters and not self.has_left:
            self._read(loss(self._fit.error or RuntimeError("Ray Train ended without a word")))
            self._fit.begin()

    def _read(self, letter: Event) -> None:
        if isinstance(letter, WorkerGroupFailed):
            raise revived(letter.kind, letter.message)
        self._report(letter)
        match letter:
            case WorkerGroupStarted():
                self.at_work = True
            case WorkerGroupFinished():
                self.has_left, self.at_work = True, False
            case WorkerGroupPaused():
                self._rest()
            case RunStarted():
                if letter.first_step > self._first_step:
                    self._losses = 0
                self._first_step = letter.first_step
            case WorkerGroupLost():
                self._lose(letter)

    def _report_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._report(event)

    def _rest(self) -> None:
        """No crew is together until the next one says so."""
        self.at_work = False
        self._lookout.begin()

    def _lose(self, letter: WorkerGroupLost) -> None:
        self._rest()
        self._losses += 1
        if self._losses == IN_A_ROW:
            raise ClusterError(
                f"{IN_A_ROW} times in a row workers were lost before the run was saved again "
                f"({letter.reason}). Look at the machines with ray status, let the run be saved "
                "more often with --set loop.checkpoint_every=N, and run it again with --resume; "
                "--verbose shows what Ray says"
            )


def run_on_cluster(
    order: TrainingJob,
    workers: str,
    wait: float,
    device: str,
    report: EventHandler,
    *,
    verbose: bool,
) -> None:
    """Train on the cluster that RAY_ADDRESS names, or on this machine alone.

    Args:
        order: what is asked for.
        workers: how many, as :meth:`WorkerCount.parse` reads it; empty for the default.
        wait: seconds for machines to come.
        device: ``auto``, ``cpu`` or ``cuda``.
        report: told everything.
        verbose: show what Ray says.

    Raises:
        UsageError: ``workers`` or ``device`` is no such thing.
        ClusterError: the cluster cannot be joined, has no room, or its machines differ.
        StorageError: the folder of the run cannot be written by all of them.
        DataError: a machine does not see the data.
        StemError: as :func:`~trainers.cluster.launch.train_on_cluster`.
    """
    check_device(device)
    count = WorkerCount.parse(workers) if workers else None
    told: set[WorkerGroupAwaited] = set()

    def tell(crew: WorkerGroupPlan) -> None:
        event = WorkerGroupAwaited(crew.room, crew.count.least)
        if event not in told:
            told.add(event)
            report(event)

    with ray_session(verbose):
        crew = wait_for_capacity(device, count, wait, tell)
        preflight(order.place, order.paths, crew.candidates)
        train_on_cluster(order, crew, report)
