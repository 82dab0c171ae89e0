"""The train function that Ray runs on every worker, and its scratch folder."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from model_zoo.catalogue.resolve import BEST, LAST
from model_zoo.errors import (
    AudioError,
    ClusterError,
    DataError,
    OutOfMemoryError,
    OutputError,
    StemError,
    StorageError,
    describe_error,
)
from stemcli.engine.events import Event
from stemcli.process import JointInterrupt
from stemcli.version import how_to_install, is_same, version
from trainers.cluster.channel import Command, WorkerChannel
from trainers.cluster.job import (
    WorkerAssignment,
    WorkerGroupFailed,
    WorkerGroupFinished,
    WorkerGroupPaused,
    WorkerGroupRestarting,
)
from trainers.cluster.preflight import EXTRAS
from trainers.cluster.storage import RunStorage
from trainers.data.loading import LoaderProcessLostError
from trainers.data.synthetic import songs_for
from trainers.loop.checks import lock_folder
from trainers.loop.events import ExcerptRendered, RunFinished, RunStarted, StepDone
from trainers.loop.execution import DDPStrategy, FSDPStrategy
from trainers.loop.trainer import train


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A new folder of this machine for one worker, which is gone at the end.

    Processes that were killed cannot tidy up; whoever comes next does it for them.

    Args:
        name: of the folder; logs say so.

    Raises:
        OutputError: the system's folder for temporary files cannot be written.
    """
    base = Path(tempfile.gettempdir()) / f"stem-workers-{getpass.getuser()}"
    _tidy(base)
    room = base / uuid4().hex
    with lock_folder(room):
        try:
            yield room / (name or "run")
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _tidy(base: Path) -> None:
    """Remove what nobody holds, where the system can tell."""
    rooms = [*base.iterdir()] if os.name == "posix" and base.is_dir() else []
    for room in rooms:
        try:
            with lock_folder(room):
                shutil.rmtree(room, ignore_errors=True)
        except OutputError:
            pass  # somebody is at work there


COMMANDS = get_args(Command)

RESTING = 900.0
"""Seconds that a worker waits to be ended, after the run was saved to change its crew."""

OF_A_MACHINE = (
    AudioError,
    DataError,
    OutOfMemoryError,
    OutputError,
    StorageError,
    LoaderProcessLostError,
)
"""Errors that another machine, or the same one later, may not meet."""


class SupersededError(RuntimeError):
    """Another crew has taken over, or somebody has ended this one."""


class UnequalError(RuntimeError):
    """Workers of one crew would not do the same."""


class StoredRun:
    """What lets checkpoints outlive their machine."""

    line: WorkerChannel
    storage: RunStorage

    def persist(self, folder: Path) -> None:
        """Store what the loop has saved, unless another crew has taken over.

        Raises:
            SupersededError: it has.
            OutputError: the folder of the run cannot be written.
            StorageError: the storage cannot be reached.
        """
        self.storage.store(folder, self._require_right)

    def _require_right(self) -> None:
        if self.line.request() == "end":
            raise SupersededError


@dataclass(frozen=True)
class RayDDPStrategy(StoredRun, DDPStrategy):
    """A worker on a cluster.

    Attributes:
        line: to whoever started the run.
        storage: of the run.
    """

    line: WorkerChannel
    storage: RunStorage


@dataclass(frozen=True)
class RayFSDPStrategy(StoredRun, FSDPStrategy):
    """The same with a part of the network."""

    line: WorkerChannel
    storage: RunStorage


Member = RayDDPStrategy | RayFSDPStrategy


class EventForwarder:
    """Tells what the first worker's loop tells; then all do together what they are told.

    Attributes:
        command: the last one.
        step: optimizer steps done.
    """

    def __init__(self, worker: Member) -> None:
        self._worker = worker
        self.command: Command = ""
        self.step = 0

    def __call__(self, event: Event) -> None:
        """Tell an event; sound is for the logs of the run alone.

        Raises:
            JointInterrupt: to save the run and leave it.
            SupersededError: to leave it at once.
            UnequalError: the workers do not begin at the same step, or see other songs.
        """
        match event:
            case ExcerptRendered():
                return
            case RunStarted():
                self.step = event.first_step
                self._require_equal(event)
            case RunFinished():
                event = replace(event, weights=str(self._worker.storage.place / BEST))
        told = self._worker.line.send(event) if self._worker.rank == 0 else ""
        if isinstance(event, StepDone):
            self.step = event.step
            self._obey(told)

    def _obey(self, told: Command) -> None:
        """The first worker alone was told; the others hear it from the sum."""
        heard = self._worker.all_reduce({"command": COMMANDS.index(told)})
        self.command = COMMANDS[int(heard["command"])]
        if self.command == "end":
            raise SupersededError
        if self.command:
            raise JointInterrupt

    def _require_equal(self, event: RunStarted) -> None:
        """Ranks that disagree would wait for each other for ever, some steps later."""
        found = {
            "the checkpoint": event.first_step,
            "the songs to validate": event.validation_songs,
        }
        count = self._worker.world_size
        squares = {f"{name} squared": value * value for name, value in found.items()}
        sums = self._worker.all_reduce(found | squares)
        for name in found:
            # Cauchy and Schwarz: equal only where all are.
            if count * sums[f"{name} squared"] != sums[name] ** 2:
                raise UnequalError(f"the workers do not have {name} in common")


def train_worker(config: Mapping[str, Any]) -> None:
    """Train as one of several; what Ray runs in every process.

    What another try would meet again is told and ends the run. Whatever else is raised is lost
    together with the process, and Ray begins anew with those that are left.
    """
    assignment: WorkerAssignment = config["assignment"]
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(assignment.cores)
    _require_same_code(assignment)
    attempt, resume = _agree(assignment, rank, size)
    line, storage = WorkerChannel(assignment.post, attempt), RunStorage(assignment.order.place)
    # A part of one is the whole.
    kind = RayFSDPStrategy if assignment.order.fsdp and size > 1 else RayDDPStrategy
    worker = kind(ray.train.torch.get_device(), rank, size, line, storage)
    reporter = EventForwarder(worker)
    try:
        _train(assignment, worker, reporter, resume)
    except StemError as error:
        if attempt > 1 or reporter.step or isinstance(error, LoaderProcessLostError):
            _break_up(line, error)
        _fail(worker, error)
    except Exception:
        line.request(WorkerGroupRestarting())
        raise
    if reporter.command == "pause":
        time.sleep(RESTING)
        raise SupersededError


def _break_up(line: WorkerChannel, error: StemError) -> None:
    """Raise what another crew may not meet: a run of days shall outlast it."""
    if isinstance(error, OF_A_MACHINE):
        line.request(WorkerGroupRestarting())
        raise error


def _fail(worker: Member, error: StemError) -> None:
    """Tell what ends the run, with the machine where that matters."""
    where = f"On {host()}: " if worker.world_size > 1 and isinstance(error, OF_A_MACHINE) else ""
    worker.line.request(WorkerGroupFailed(type(error).__name__, where + describe_error(error)))


def host() -> str:
    """This machine's own name and address."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return f"{socket.gethostname()} ({address})"


def _require_same_code(assignment: WorkerAssignment) -> None:
    """A machine that joined late was not mustered.

    Raises:
        SupersededError: its code is not that of the machine where the run was started; the run is
            ended with a sentence that says so.
    """
    if is_same(assignment.version):
        return
    message = (
        f"{host()} joined the run and has stem {version()}, the others {assignment.version}. "
        f"{how_to_install(version(), EXTRAS)}, and run it again with --resume"
    )
    ray.get(assignment.post.note.remote(WorkerGroupFailed(ClusterError.__name__, message)))
    raise SupersededError(message)


def _agree(assignment: WorkerAssignment, rank: int, size: int) -> tuple[int, bool]:
    """The number of this attempt, and whether there is something to go on from."""
    hosts: list[Any] = [None] * size
    dist.all_gather_object(hosts, host())
    start: list[Any] = [None]
    if rank == 0:
        attempt = ray.get(assignment.post.begin.remote(tuple(hosts)))
        start = [(attempt, RunStorage(assignment.order.place).has_checkpoint())]
    dist.broadcast_object_list(start, src=0)
    return start[0]


def _train(
    assignment: WorkerAssignment, worker: Member, reporter: EventForwarder, resume: bool
) -> None:
    """Run the loop in a folder of this worker, and store what it leaves.

    Raises:
        StemError: as :func:`trainers.loop.trainer.train`, in words of the folder of the run.
    """
    order = assignment.order
    with scratch(order.place.name) as folder:
        try:
            if resume:
                worker.storage.fetch(folder, *(() if worker.rank == 0 else (LAST,)))
            data = order.data or songs_for(order.recipe)
            given = (order.recipe, data, order.validation, folder, worker, reporter)
            train(*given, resume=resume, origin=order.origin)
        except JointInterrupt:
            pass
        except StemError as error:
            error.args = (describe_error(error).replace(str(folder), str(order.place)),)
            raise
        if worker.rank == 0:
            worker.persist(folder)
            worker.line.request(_goodbye(reporter))


def _goodbye(reporter: EventForwarder) -> Event:
    if reporter.command == "pause":
        return WorkerGroupPaused(reporter.step)
    return WorkerGroupFinished(not reporter.command, reporter.step)
