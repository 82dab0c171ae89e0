"""The train function that Ray runs in every worker, and the worker's scratch folder."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
from model_zoo.option_names import command_line
from stemcli.engine.events import Event
from stemcli.process import JointInterrupt
from stemcli.version import how_to_install, is_same, version
from trainers.cluster.channel import Command, WorkerChannel
from trainers.cluster.job import (
    TrainingJob,
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
    """Yield a folder for one worker on this machine, and remove it at the end.

    Folders of processes that were killed are removed by the next worker on the machine.

    Args:
        name: of the folder, which appears in logs.

    Raises:
        OutputError: the system's folder for temporary files cannot be written.
    """
    base = Path(tempfile.gettempdir()) / f"stem-workers-{getpass.getuser()}"
    _remove_unused(base)
    parent = base / uuid4().hex
    with lock_folder(parent):
        try:
            yield parent / (name or "run")
        finally:
            shutil.rmtree(parent, ignore_errors=True)


def _remove_unused(base: Path) -> None:
    """Remove folders that no process locks, where the folder itself is locked."""
    for folder in [*base.iterdir()] if os.name == "posix" and base.is_dir() else []:
        with suppress(OutputError), lock_folder(folder):  # in use
            shutil.rmtree(folder, ignore_errors=True)


COMMANDS = get_args(Command)

PAUSE_S = 900.0
"""Seconds that a worker waits to be ended after it saved for a change of the worker group."""

MACHINE_ERRORS = (
    AudioError,
    DataError,
    OutOfMemoryError,
    OutputError,
    StorageError,
    LoaderProcessLostError,
)
"""Errors that another machine, or the same one later, may not meet."""


class SupersededError(RuntimeError):
    """A newer worker group has taken over, or the run was ended."""


class UnequalError(RuntimeError):
    """The workers of a group would not do the same steps."""


@dataclass(frozen=True)
class StoredRun:
    """Part of a strategy: stores each checkpoint in the folder of the run.

    Attributes:
        channel: to the driver.
        storage: folder of the run.
    """

    channel: WorkerChannel
    storage: RunStorage

    def persist(self, folder: Path) -> None:
        """Store what the loop has saved.

        Raises:
            SupersededError: a newer worker group has taken over.
            OutputError: the folder of the run cannot be written.
            StorageError: the storage cannot be reached.
        """
        self.storage.store(folder, self._require_current)

    def _require_current(self) -> None:
        if self.channel.request() == "end":
            raise SupersededError


@dataclass(frozen=True)
class RayDDPStrategy(StoredRun, DDPStrategy):
    """DDP in a worker that Ray started."""


@dataclass(frozen=True)
class RayFSDPStrategy(StoredRun, FSDPStrategy):
    """FSDP in a worker that Ray started."""


RayStrategy = RayDDPStrategy | RayFSDPStrategy


class EventForwarder:
    """Event handler of the loop: rank 0 sends the events, and all ranks obey the same command.

    Attributes:
        command: the last one received.
        step: optimizer steps done.
    """

    def __init__(self, strategy: RayStrategy) -> None:
        self._strategy = strategy
        self.command: Command = ""
        self.step = 0

    def __call__(self, event: Event) -> None:
        """Send an event to the driver, except excerpts: only the run's own logs need them.

        Raises:
            JointInterrupt: save the run and leave it.
            SupersededError: leave it at once.
            UnequalError: the workers start at different steps or validate different songs.
        """
        match event:
            case ExcerptRendered():
                return
            case RunStarted():
                self.step = event.first_step
                self._require_equal(event)
            case RunFinished():
                event = replace(event, weights=str(self._strategy.storage.output / BEST))
        is_first = self._strategy.rank == 0
        command: Command = self._strategy.channel.send(event) if is_first else ""
        if isinstance(event, StepDone):
            self.step = event.step
            self._obey(command)

    def _obey(self, command: Command) -> None:
        """Only rank 0 received the command; the sum over all ranks tells the others."""
        sums = self._strategy.all_reduce({"command": COMMANDS.index(command)})
        self.command = COMMANDS[int(sums["command"])]
        if self.command == "end":
            raise SupersededError
        if self.command:
            raise JointInterrupt

    def _require_equal(self, event: RunStarted) -> None:
        """Ranks that disagree would wait for each other forever, some steps later."""
        own = {
            "the checkpoint": event.first_step,
            "the songs to validate": event.validation_songs,
        }
        count = self._strategy.world_size
        squares = {f"{name} squared": value * value for name, value in own.items()}
        sums = self._strategy.all_reduce(own | squares)
        for name in own:
            # Cauchy-Schwarz inequality: equality holds only where all values are the same.
            if count * sums[f"{name} squared"] != sums[name] ** 2:
                raise UnequalError(f"the workers do not have {name} in common")


@command_line()
def train_worker(config: Mapping[str, Any]) -> None:
    """Train as one worker of a group; the function that Ray Train runs in every worker.

    An error that would come again is sent to the driver, which ends the run. Any other error is
    raised: Ray then ends the group and starts a new one.
    """
    assignment: WorkerAssignment = config["assignment"]
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(assignment.cores)
    _require_same_code(assignment)
    attempt, resume = _agree(assignment, rank, size)
    channel = WorkerChannel(assignment.channel, attempt)
    # A single worker has nothing to shard.
    strategy_class = RayFSDPStrategy if assignment.job.fsdp and size > 1 else RayDDPStrategy
    storage = RunStorage(assignment.job.output)
    strategy = strategy_class(ray.train.torch.get_device(), rank, size, channel, storage)
    forwarder = EventForwarder(strategy)
    try:
        _train(assignment.job, strategy, forwarder, resume)
    except Exception as error:
        if not isinstance(error, StemError) or _may_pass(error, attempt, forwarder.step):
            channel.request(WorkerGroupRestarting())
            raise
        channel.request(_failure(error, size))
    if forwarder.command == "pause":
        time.sleep(PAUSE_S)
        raise SupersededError


def _may_pass(error: StemError, attempt: int, step: int) -> bool:
    """Whether the next group may not meet the error; a run that never began gets no second try."""
    has_begun = attempt > 1 or step > 0 or isinstance(error, LoaderProcessLostError)
    return has_begun and isinstance(error, MACHINE_ERRORS)


def _failure(error: StemError, size: int) -> WorkerGroupFailed:
    """Describe the error that ends the run, with the machine where that matters."""
    where = f"On {host()}: " if size > 1 and isinstance(error, MACHINE_ERRORS) else ""
    return WorkerGroupFailed(type(error).__name__, where + describe_error(error))


def host() -> str:
    """Return the name and address of this machine."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return f"{socket.gethostname()} ({address})"


def _require_same_code(assignment: WorkerAssignment) -> None:
    """Check the version again: preflight has not seen machines that joined late.

    Raises:
        SupersededError: the code is not that of the driver, which ends the run and says so.
    """
    if is_same(assignment.version):
        return
    message = (
        f"{host()} joined the run and has stem {version()}, the others {assignment.version}. "
        f"{how_to_install(version(), EXTRAS)}, and run it again with --resume"
    )
    ray.get(assignment.channel.add.remote(WorkerGroupFailed(ClusterError.__name__, message)))
    raise SupersededError(message)


def _agree(assignment: WorkerAssignment, rank: int, size: int) -> tuple[int, bool]:
    """Return the number of this attempt and whether there is a checkpoint, the same on all."""
    hosts: list[Any] = [None] * size
    dist.all_gather_object(hosts, host())
    start: list[Any] = [None]
    if rank == 0:
        attempt = ray.get(assignment.channel.begin.remote(tuple(hosts)))
        start = [(attempt, RunStorage(assignment.job.output).has_checkpoint())]
    dist.broadcast_object_list(start, src=0)
    return start[0]


def _train(
    job: TrainingJob, strategy: RayStrategy, forwarder: EventForwarder, resume: bool
) -> None:
    """Run the loop in a folder of this machine, and store what it leaves.

    Raises:
        StemError: as :func:`trainers.loop.trainer.train`, naming the folder of the run.
    """
    with scratch(job.output.name) as folder:
        try:
            if resume:
                strategy.storage.fetch(folder, *(() if strategy.rank == 0 else (LAST,)))
            data = job.data or songs_for(job.recipe)
            where = (data, job.validation, folder, strategy, forwarder)
            train(job.recipe, *where, resume=resume, origin=job.origin)
        except JointInterrupt:
            pass
        except StemError as error:
            error.args = (describe_error(error).replace(str(folder), str(job.output)),)
            raise
        if strategy.rank == 0:
            strategy.persist(folder)
            strategy.channel.request(_last_event(forwarder))


def _last_event(forwarder: EventForwarder) -> Event:
    if forwarder.command == "pause":
        return WorkerGroupPaused(forwarder.step)
    return WorkerGroupFinished(not forwarder.command, forwarder.step)
