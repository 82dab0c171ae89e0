"""How many workers a run has, what each of them gets, and whether the cluster has room for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_zoo.errors import ClusterError, DeviceError
from stemcli.cluster.nodes import NodeResources, list_nodes
from trainers.cluster.job import WAIT, WorkerCount

INTERVAL = 1.0
"""Seconds between two looks at the cluster."""

SHOWN = 8
"""Machines that a message names, at most."""


@dataclass(frozen=True)
class WorkerResources:
    """What one worker gets of its machine."""

    cores: int
    gpus: int

    @property
    def resources(self) -> dict[str, float]:
        """As Ray wants it."""
        return {"CPU": self.cores, **({"GPU": self.gpus} if self.gpus else {})}

    def fits(self, machine: NodeResources) -> int:
        """Workers for which the machine has room at this moment."""
        by_cores = machine.free_cores // self.cores
        return min(by_cores, machine.free_gpus // self.gpus) if self.gpus else by_cores

    def capacity(self, machine: NodeResources) -> int:
        """Workers for which the machine would have room if nobody else used it."""
        by_cores = machine.cores // self.cores
        return min(by_cores, machine.gpus // self.gpus) if self.gpus else by_cores


@dataclass(frozen=True)
class WorkerGroupPlan:
    """The workers of a run on the machines that are there.

    Attributes:
        count: how many.
        share: what each of them gets.
        room: for how many workers there is room at this moment.
        machines: of the cluster.
    """

    count: WorkerCount
    share: WorkerResources
    room: int
    machines: tuple[NodeResources, ...]

    @property
    def is_possible(self) -> bool:
        """Whether the run can begin."""
        return self.room >= self.count.least

    @property
    def candidates(self) -> tuple[NodeResources, ...]:
        """The machines where a worker may be."""
        return tuple(machine for machine in self.machines if self.share.capacity(machine))


def plan_workers(
    machines: Sequence[NodeResources], device: str = "auto", count: WorkerCount | None = None
) -> WorkerGroupPlan:
    """Share the machines out; what others use of them counts as not there.

    On GPUs each worker has one, and one core. Without, workers get as many cores as leave room for
    the least count.

    Args:
        machines: of the cluster.
        device: ``auto`` takes GPUs where the cluster has any, ``cpu`` leaves them alone, ``cuda``
            wants nothing else.
        count: None is one worker for each GPU or, without GPUs, for each machine.
    """
    on_gpus = device == "cuda" or (device == "auto" and any(machine.gpus for machine in machines))
    if on_gpus:
        share = WorkerResources(cores=1, gpus=1)
        count = count or _exactly(sum(share.fits(machine) for machine in machines))
    else:
        count = count or _exactly(sum(machine.free_cores > 0 for machine in machines))
        share = WorkerResources(_cores(machines, count.least), gpus=0)
    room = sum(share.fits(machine) for machine in machines)
    return WorkerGroupPlan(count, share, room, tuple(machines))


def wait_for_capacity(
    device: str = "auto",
    count: WorkerCount | None = None,
    wait: float = WAIT,
    tell: Callable[[WorkerGroupPlan], None] = lambda crew: None,
    *,
    look: Callable[[], Sequence[NodeResources]] = list_nodes,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> WorkerGroupPlan:
    """The crew that a cluster has room for, once it has.

    Args:
        device: see :func:`plan_workers`.
        count: see :func:`plan_workers`.
        wait: seconds for machines to come or to become free.
        tell: told what there is, at every look in vain.
        look: finds the machines.
        pause: waits some seconds.
        clock: seconds.

    Raises:
        ClusterError: there is not enough room.
        DeviceError: ``cuda`` was asked for and no machine has a GPU.
    """
    end = clock() + wait
    while True:
        crew = plan_workers(look(), device, count)
        if crew.is_possible:
            return crew
        left = end - clock()
        if left <= 0:
            raise _refusal(crew, device, count)
        tell(crew)
        pause(min(INTERVAL, left))


def _exactly(number: int) -> WorkerCount:
    return WorkerCount(max(1, number), max(1, number))


def _cores(machines: Sequence[NodeResources], workers: int) -> int:
    """The most that each of ``workers`` can have, and at least 1."""
    free = [machine.free_cores for machine in machines]
    fitting = (
        cores for cores in range(max(free, default=0), 0, -1) if _rooms(free, cores) >= workers
    )
    return next(fitting, 1)


def _rooms(free: Sequence[int], cores: int) -> int:
    return sum(some // cores for some in free)


def _refusal(
    crew: WorkerGroupPlan, device: str, asked: WorkerCount | None
) -> ClusterError | DeviceError:
    if device == "cuda" and not any(machine.gpus for machine in crew.machines):
        return DeviceError("The cluster has no GPU. Type --device auto or --device cpu")
    wish = f" of the {crew.count.least} that --workers {asked} asks for" if asked else ""
    return ClusterError(
        f"The cluster has room for {_workers(crew.room)}{wish} (hosts: {_hosts(crew)}). "
        + _advice(crew)
    )


def _advice(crew: WorkerGroupPlan) -> str:
    """What to type, or to do, from the simplest to the dearest."""
    ways = [f"type --workers {crew.room}"] if crew.room else []
    if any(machine.is_busy for machine in crew.machines):
        ways.append("end what else runs there")
    ways += ["start more machines", "type --wait SECONDS for an autoscaler to do so"]
    listed = f"{', '.join(ways[:-1])}, or {ways[-1]}"
    return listed[0].upper() + listed[1:]


def _workers(number: int) -> str:
    return {0: "no worker", 1: "1 worker"}.get(number, f"{number} workers")


def _hosts(crew: WorkerGroupPlan) -> str:
    shown = [_describe(machine, crew.share) for machine in crew.machines[:SHOWN]]
    more = len(crew.machines) - SHOWN
    return "; ".join([*shown, *([f"and {more} more"] if more > 0 else [])]) or "none"


def _describe(machine: NodeResources, share: WorkerResources) -> str:
    kind = "GPU" if share.gpus else "core"
    free, whole = (
        (machine.free_gpus, machine.gpus) if share.gpus else (machine.free_cores, machine.cores)
    )
    words = f"{whole} {kind}" + "s" * (whole != 1)
    return f"{machine.host} with {words}" + f", {whole - free} in use" * (free != whole)
