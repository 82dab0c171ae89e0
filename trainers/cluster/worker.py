"""The process that trains on a machine of a cluster, one of several that take the same steps."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from model_zoo.adoption import BEST, LAST
from model_zoo.errors import ClusterError, StemError
from stemcli.batch.sentences import sentence
from stemcli.engine.events import Event
from stemcli.version import how_to_install, is_same, version
from trainers.cluster.assignment import Assignment
from trainers.cluster.events import CrewFailed, CrewLeft, CrewPaused
from trainers.cluster.post import Line, Order
from trainers.cluster.storage import RunStorage
from trainers.data.loading import HelperLostError
from trainers.data.sample_set import songs_for
from trainers.loop.distributed import DistributedWorker, ShardedWorker
from trainers.loop.events import Listened, RunFinished, StepDone
from trainers.loop.interrupt import JointInterrupt
from trainers.loop.run import run

ORDERS = get_args(Order)

RESTING = 300.0
"""Seconds that a worker waits to be ended, after the run was saved to change its crew."""


class SupersededError(RuntimeError):
    """Another crew has taken over, or somebody has ended this one."""


class Keeping:
    """What lets checkpoints outlive their machine."""

    line: Line
    storage: RunStorage

    def keep(self, folder: Path) -> None:
        """Store what the loop has saved, unless another crew has taken over.

        Raises:
            SupersededError: it has.
            StorageError: the storage cannot be reached.
        """
        if self.line.ask() == "end":
            raise SupersededError
        self.storage.store(folder)


@dataclass(frozen=True)
class RayWorker(Keeping, DistributedWorker):
    """A worker on a cluster.

    Attributes:
        line: to whoever started the run.
        storage: of the run.
    """

    line: Line
    storage: RunStorage


@dataclass(frozen=True)
class ShardedRayWorker(Keeping, ShardedWorker):
    """The same with a part of the network."""

    line: Line
    storage: RunStorage


Member = RayWorker | ShardedRayWorker


class Reporter:
    """Tells what the first worker's loop tells; then all do together what it is ordered.

    Attributes:
        order: the last one that was not empty.
        step: optimizer steps done.
    """

    def __init__(self, worker: Member) -> None:
        self._worker = worker
        self.order: Order = ""
        self.step = 0

    def __call__(self, event: Event) -> None:
        """Tell an event; sound is for the logs of the run alone.

        Raises:
            JointInterrupt: to save the run and leave it.
            SupersededError: to leave it at once.
        """
        if isinstance(event, Listened):
            return
        first = self._worker.rank == 0
        if isinstance(event, RunFinished):
            event = replace(event, weights=str(self._worker.storage.place / BEST))
        order = self._worker.line.tell(event) if first else ""
        if not isinstance(event, StepDone):
            return
        self.step = event.step
        heard = self._worker.total({"order": ORDERS.index(order)})
        self.order = ORDERS[int(heard["order"])]
        if self.order == "end":
            raise SupersededError
        if self.order:
            raise JointInterrupt


def work(config: Mapping[str, Any]) -> None:
    """Train as one of several; what Ray runs in every process.

    What another try would meet again is told and ends the run. Whatever else is raised is lost
    together with the process, and Ray begins anew with those that are left.
    """
    assignment: Assignment = config["assignment"]
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(assignment.cores)
    _require_same_code(assignment)
    attempt, resume = _agree(assignment, rank, size)
    line = Line(assignment.post, attempt)
    device = ray.train.torch.get_device()
    # A part of one is the whole.
    kind = ShardedRayWorker if assignment.fsdp and size > 1 else RayWorker
    worker = kind(device, rank, size, line, RunStorage(assignment.place))
    try:
        with _room(assignment, rank) as folder:
            _train(assignment, folder, worker, resume)
    except HelperLostError:
        raise
    except StemError as error:
        host = socket.gethostname()
        line.ask(CrewFailed(rank, host, type(error).__name__, sentence(error)))


def _require_same_code(assignment: Assignment) -> None:
    """A machine that joined late was not mustered.

    Raises:
        SupersededError: its code is not that of the machine where the run was started; the run is
            ended with a sentence that says so.
    """
    if is_same(assignment.version):
        return
    host = socket.gethostname()
    message = (
        f"{host} joined the run and has stem {version()}, the others {assignment.version}. "
        f"{how_to_install(version())}, and type the same with --resume"
    )
    ray.get(assignment.post.note.remote(CrewFailed(-1, host, ClusterError.__name__, message)))
    raise SupersededError(message)


def _agree(assignment: Assignment, rank: int, size: int) -> tuple[int, bool]:
    """The number of this attempt, and whether there is something to go on from."""
    hosts: list[Any] = [None] * size
    dist.all_gather_object(hosts, socket.gethostname())
    start: list[Any] = [None]
    if rank == 0:
        attempt = ray.get(assignment.post.begin.remote(tuple(hosts)))
        start = [(attempt, RunStorage(assignment.place).has_checkpoint())]
    dist.broadcast_object_list(start, src=0)
    return start[0]


@contextmanager
def _room(assignment: Assignment, rank: int) -> Iterator[Path]:
    """A folder for this worker alone; what an ended process of the same run left is removed."""
    of_run = Path(tempfile.gettempdir()) / f"stem-{assignment.name}"
    folder = of_run / f"rank{rank}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another worker of this machine is at work
            of_run.rmdir()


def _train(assignment: Assignment, folder: Path, worker: Member, resume: bool) -> None:
    """Run the loop, and store what it leaves."""
    if resume:
        worker.storage.fetch(folder, *(() if worker.rank == 0 else (LAST,)))
    data = assignment.data or songs_for(assignment.recipe)
    report = Reporter(worker)
    try:
        run(
            assignment.recipe,
            data,
            assignment.validation,
            folder,
            worker,
            report,
            resume=resume,
            origin=assignment.origin,
        )
    except JointInterrupt:
        _leave(worker, folder, report)
        return
    if worker.rank == 0:
        worker.keep(folder)
        worker.line.ask(CrewLeft(True, report.step))


def _leave(worker: Member, folder: Path, report: Reporter) -> None:
    """Say that the run is saved, and wait to be ended where that was asked for."""
    paused = report.order == "pause"
    if worker.rank == 0:
        worker.keep(folder)  # with the last lines of its logs
        worker.line.ask(CrewPaused(report.step) if paused else CrewLeft(False, report.step))
    if paused:
        time.sleep(RESTING)
        raise SupersededError
