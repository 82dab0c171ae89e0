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

from model_zoo import registry
from model_zoo.adoption import BEST, LAST
from model_zoo.errors import StemError
from stemcli.batch.sentences import sentence
from stemcli.engine.events import Event
from trainers.cluster.events import CrewFailed, CrewLeft, CrewPaused
from trainers.cluster.plan import Plan
from trainers.cluster.post import Line, Order
from trainers.cluster.storage import RunStorage
from trainers.config import Recipe
from trainers.data.loading import HelperLostError
from trainers.data.sample_set import sample_set
from trainers.loop.distributed import DistributedWorker
from trainers.loop.events import Listened, RunFinished, StepDone
from trainers.loop.run import run

ORDERS = get_args(Order)

RESTING = 300.0
"""Seconds that a worker waits to be ended, after the run was saved to change its crew."""


class SupersededError(RuntimeError):
    """Another crew has taken over, or somebody has ended this one."""


@dataclass(frozen=True)
class RayWorker(DistributedWorker):
    """A worker whose checkpoints outlive its machine.

    Attributes:
        line: to whoever started the run.
        storage: of the run.
    """

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


class Reporter:
    """Tells what the first worker's loop tells; then all do together what it is ordered.

    Attributes:
        order: the last one that was not empty.
        step: optimizer steps done.
    """

    def __init__(self, worker: RayWorker) -> None:
        self._worker = worker
        self.order: Order = ""
        self.step = 0

    def __call__(self, event: Event) -> None:
        """Tell an event; sound is for the logs of the run alone.

        Raises:
            KeyboardInterrupt: to save the run and leave it.
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
            raise KeyboardInterrupt


def work(config: Mapping[str, Any]) -> None:
    """Train as one of several; what Ray runs in every process.

    What another try would meet again is told and ends the run. Whatever else is raised is lost
    together with the process, and Ray begins anew with those that are left.
    """
    plan: Plan = config["plan"]
    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(plan.cores)
    attempt, resume = _agree(plan, rank, size)
    line = Line(plan.post, attempt)
    device = ray.train.torch.get_device()
    worker = RayWorker(device, rank, size, line, RunStorage(plan.place))
    try:
        with _room(plan, rank) as folder:
            _train(plan, folder, worker, resume)
    except HelperLostError:
        raise
    except StemError as error:
        host = socket.gethostname()
        line.ask(CrewFailed(rank, host, type(error).__name__, sentence(error)))


def _agree(plan: Plan, rank: int, size: int) -> tuple[int, bool]:
    """The number of this attempt, and whether there is something to go on from."""
    hosts: list[Any] = [None] * size
    dist.all_gather_object(hosts, socket.gethostname())
    start: list[Any] = [None]
    if rank == 0:
        attempt = ray.get(plan.post.begin.remote(tuple(hosts)))
        start = [(attempt, RunStorage(plan.place).has_checkpoint())]
    dist.broadcast_object_list(start, src=0)
    return start[0]


@contextmanager
def _room(plan: Plan, rank: int) -> Iterator[Path]:
    """A folder for this worker alone; what an ended process of the same run left is removed."""
    of_run = Path(tempfile.gettempdir()) / f"stem-{plan.name}"
    folder = of_run / f"rank{rank}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another worker of this machine is at work
            of_run.rmdir()


def _train(plan: Plan, folder: Path, worker: RayWorker, resume: bool) -> None:
    """Run the loop, and store what it leaves."""
    if resume:
        worker.storage.fetch(folder, *(() if worker.rank == 0 else (LAST,)))
    data = plan.data or sample_set(sample_rate(plan.recipe))
    report = Reporter(worker)
    try:
        run(
            plan.recipe,
            data,
            plan.validation,
            folder,
            worker,
            report,
            resume=resume,
            origin=plan.origin,
        )
    except KeyboardInterrupt:
        _leave(worker, folder, report)
        return
    if worker.rank == 0:
        worker.keep(folder)
        worker.line.ask(CrewLeft(True, report.step))


def _leave(worker: RayWorker, folder: Path, report: Reporter) -> None:
    """Say that the run is saved, and wait to be ended where that was asked for."""
    paused = report.order == "pause"
    if worker.rank == 0:
        worker.keep(folder)  # with the last lines of its logs
        worker.line.ask(CrewPaused(report.step) if paused else CrewLeft(False, report.step))
    if paused:
        time.sleep(RESTING)
        raise SupersededError


def sample_rate(recipe: Recipe) -> int:
    """Of the network that a recipe trains, in Hz."""
    return registry.build(recipe.model.architecture, recipe.model.options).sample_rate
