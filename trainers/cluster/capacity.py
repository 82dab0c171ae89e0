"""Size of the worker group: how many workers, the resources of each, and whether they fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model_zoo.errors import ClusterError, DeviceError
from stemcli.cluster.nodes import NodeResources, list_nodes
from trainers.cluster.job import (
    WAIT,
    WorkerCount,
    WorkerGroupAwaited,
    WorkerGroupEvent,
    WorkerGroupStarting,
)

POLL_INTERVAL_S = 1.0
"""Seconds between two checks of the cluster before a run."""

SHOWN = 8
"""Machines that a message names, at most."""


@dataclass(frozen=True)
class WorkerResources:
    """Cores and GPUs of one worker."""

    cores: int
    gpus: int

    @property
    def resources(self) -> dict[str, float]:
        """As Ray's ``resources_per_worker``."""
        return {"CPU": self.cores, **({"GPU": self.gpus} if self.gpus else {})}

    def fits(self, node: NodeResources) -> int:
        """Return how many workers fit into what is free on a node."""
        return self._count(node.free_cores, node.free_gpus)

    def capacity(self, node: NodeResources) -> int:
        """Return how many workers would fit on a node that nobody else used."""
        return self._count(node.cores, node.gpus)

    def _count(self, cores: int, gpus: int) -> int:
        by_cores = cores // self.cores
        return min(by_cores, gpus // self.gpus) if self.gpus else by_cores


@dataclass(frozen=True)
class WorkerGroupPlan:
    """The workers of a run on the nodes that are there.

    Attributes:
        count: of workers.
        per_worker: resources of each worker.
        room: workers that fit at this moment.
        nodes: of the cluster.
    """

    count: WorkerCount
    per_worker: WorkerResources
    room: int
    nodes: tuple[NodeResources, ...]

    @property
    def is_possible(self) -> bool:
        """Whether the run can start."""
        return self.room >= self.count.least

    @property
    def candidates(self) -> tuple[NodeResources, ...]:
        """The nodes on which a worker may be placed."""
        return tuple(node for node in self.nodes if self.per_worker.capacity(node))


def plan_workers(
    nodes: Sequence[NodeResources], device: str = "auto", count: WorkerCount | None = None
) -> WorkerGroupPlan:
    """Divide the free resources of the nodes among the workers.

    With GPUs each worker has one GPU and one core. Without, each worker has as many cores as leave
    room for the least count.

    Args:
        nodes: of the cluster.
        device: ``auto`` uses GPUs where the cluster has any, ``cpu`` leaves them alone, ``cuda``
            uses GPUs only.
        count: None is one worker for each GPU or, without GPUs, for each node.
    """
    on_gpus = device == "cuda" or (device == "auto" and any(node.gpus for node in nodes))
    if on_gpus:
        per_worker = WorkerResources(cores=1, gpus=1)
        count = count or _exactly(sum(per_worker.fits(node) for node in nodes))
    else:
        count = count or _exactly(sum(node.free_cores > 0 for node in nodes))
        per_worker = WorkerResources(_cores(nodes, count.least), gpus=0)
    room = sum(per_worker.fits(node) for node in nodes)
    return WorkerGroupPlan(count, per_worker, room, tuple(nodes))


def wait_for_capacity(
    device: str = "auto",
    count: WorkerCount | None = None,
    wait: float = WAIT,
    on_wait: Callable[[WorkerGroupPlan], None] = lambda plan: None,
    *,
    find_nodes: Callable[[], Sequence[NodeResources]] = list_nodes,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> WorkerGroupPlan:
    """Return the plan of a run as soon as the cluster has room for it.

    Args:
        device: see :func:`plan_workers`.
        count: see :func:`plan_workers`.
        wait: seconds for nodes to join or to become free.
        on_wait: called with each plan that has too little room.
        find_nodes: lists the nodes.
        sleep: waits some seconds.
        clock: seconds.

    Raises:
        ClusterError: there is not enough room.
        DeviceError: ``cuda`` was asked for and no node has a GPU.
    """
    end = clock() + wait
    while True:
        plan = plan_workers(find_nodes(), device, count)
        if plan.is_possible:
            return plan
        left = end - clock()
        if left <= 0:
            raise _too_little_room(plan, device, count)
        on_wait(plan)
        sleep(min(POLL_INTERVAL_S, left))


WATCH_INTERVAL_S = 5.0
"""Seconds between two checks of the cluster while a run has no workers."""

REPEAT_S = 60.0
"""Seconds until the same event is repeated, and until workers count as slow to start."""


class CapacityWatcher:
    """Reports, while a run has no workers, whether there is room for them and how long they take.

    Ray Train retries in silence: its own messages go to logs on the head node.

    Args:
        plan: of the run.
        find_nodes: lists the nodes.
        clock: seconds.
    """

    def __init__(
        self,
        plan: WorkerGroupPlan,
        find_nodes: Callable[[], Sequence[NodeResources]] = list_nodes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan, self._find_nodes, self._clock = plan, find_nodes, clock
        self.restart()

    def restart(self) -> None:
        """Restart the clock: the run has just lost its workers, or does not have any yet."""
        self._began = self._clock()
        self._next = self._began + WATCH_INTERVAL_S
        self._last: tuple[WorkerGroupEvent, float] | None = None

    def check(self) -> Iterator[WorkerGroupEvent]:
        """Yield the event to report now, if there is one."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + WATCH_INTERVAL_S
        event = self._event(now)
        if event and not self._is_repetition(event, now):
            self._last = event, now
            yield event

    def _event(self, now: float) -> WorkerGroupEvent | None:
        least = self._plan.count.least
        room = total_capacity(self._plan.per_worker, self._find_nodes())
        if room < least:
            return WorkerGroupAwaited(room, least)
        seconds = int(now - self._began)
        return WorkerGroupStarting(seconds) if seconds >= REPEAT_S else None

    def _is_repetition(self, event: WorkerGroupEvent, now: float) -> bool:
        if self._last is None:
            return False
        last, when = self._last
        are_starting = isinstance(event, WorkerGroupStarting) and type(last) is type(event)
        return (last == event or are_starting) and now < when + REPEAT_S


def total_capacity(per_worker: WorkerResources, nodes: Sequence[NodeResources]) -> int:
    """Return how many workers would fit on the nodes if nobody else used them."""
    return sum(per_worker.capacity(node) for node in nodes)


def _exactly(number: int) -> WorkerCount:
    return WorkerCount(max(1, number), max(1, number))


def _cores(nodes: Sequence[NodeResources], workers: int) -> int:
    """Return the most cores that each of ``workers`` can have, at least 1."""
    free = [node.free_cores for node in nodes]
    possible = range(max(free, default=0), 0, -1)
    return next((n for n in possible if sum(cores // n for cores in free) >= workers), 1)


def _too_little_room(
    plan: WorkerGroupPlan, device: str, asked: WorkerCount | None
) -> ClusterError | DeviceError:
    if device == "cuda" and not any(node.gpus for node in plan.nodes):
        problem = "The cluster has no GPU. Try: --device auto or --device cpu"
        return DeviceError(problem).about("device")
    room = {0: "no worker", 1: "1 worker"}.get(plan.room, f"{plan.room} workers")
    wanted = f" of the {plan.count.least} that --workers {asked} asks for" if asked else ""
    return ClusterError(
        f"The cluster has room for {room}{wanted} (hosts: {_hosts(plan)}). {_advice(plan)}"
    )


def _advice(plan: WorkerGroupPlan) -> str:
    """List what the user can do, the simplest first."""
    ways = [f"use --workers {plan.room}"] if plan.room else []
    if any(node.is_busy for node in plan.nodes):
        ways.append("end what else runs there")
    ways += ["start more machines", "use --wait SECONDS for an autoscaler to do so"]
    listed = f"{', '.join(ways[:-1])}, or {ways[-1]}"
    return listed[0].upper() + listed[1:]


def _hosts(plan: WorkerGroupPlan) -> str:
    shown = [_describe(node, plan.per_worker) for node in plan.nodes[:SHOWN]]
    more = len(plan.nodes) - SHOWN
    return "; ".join([*shown, *([f"and {more} more"] if more > 0 else [])]) or "none"


def _describe(node: NodeResources, per_worker: WorkerResources) -> str:
    kind = "GPU" if per_worker.gpus else "core"
    free, total = (node.free_gpus, node.gpus) if per_worker.gpus else (node.free_cores, node.cores)
    words = f"{total} {kind}" + "s" * (total != 1)
    return f"{node.host} with {words}" + f", {total - free} in use" * (free != total)
