"""A pool of Ray actors, one for each worker slot of a cluster whose nodes come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model_zoo.errors import ClusterError
from stemcli.batch.ray_worker import GRACE, ActorInfo, SeparationActor
from stemcli.batch.report import WorkerJoined, WorkerLost, WorkerRefused, WorkersAwaited
from stemcli.cluster.nodes import WorkerSlot
from stemcli.engine.events import EventHandler
from stemcli.version import how_to_install, is_same

ROOMS = 2
"""Songs that one actor holds: while its network works on one, the other is opened or finished."""

GONE = "its machine is gone"

AWAITED = 30
"""Checks without an actor until that is reported; failed checks until the run ends."""


@dataclass(eq=False)
class PooledActor:
    """An actor on its slot.

    Attributes:
        slot: where it runs.
        handle: Ray's handle of it.
        songs: how many it holds.
        is_reserved: whether it may not get another song beside the one that it holds.
    """

    slot: WorkerSlot
    handle: Any
    songs: int = 0
    is_reserved: bool = False


class ActorPool:
    """Keeps one actor running on every slot.

    Ray's own ``ray.util.ActorPool`` has a fixed number of actors, and one that died gets the next
    task.

    Args:
        find_slots: lists the slots of the nodes that are alive.
        arguments: of every :class:`~stemcli.batch.ray_worker.SeparationActor`.
        on_event: receives an event when a worker joins, is lost or is refused.
    """

    def __init__(
        self,
        find_slots: Callable[[], list[WorkerSlot]],
        arguments: tuple[Any, ...],
        on_event: EventHandler,
    ) -> None:
        self.actors: list[PooledActor] = []
        self.loading: dict[Any, PooledActor] = {}  # by Ray's reference to their information
        self._find_slots, self._arguments, self._on_event = find_slots, arguments, on_event
        self._refused: dict[WorkerSlot, str] = {}
        self._looks_without = self._failed_looks = 0

    def look(self) -> list[PooledActor]:
        """Start actors on slots that have none; return those that were lost with their nodes.

        Raises:
            ClusterError: the cluster no longer answers, or no node can do the work.
        """
        try:
            slots = self._find_slots()
        except RayError as error:
            self._count_failure(error)
            return []
        self._failed_looks = 0
        gone = [actor for actor in self.actors if actor.slot not in slots]
        for actor in gone:
            self.lose(actor, GONE)
        taken = {actor.slot for actor in (*self.actors, *self.loading.values())}
        for slot in slots:
            if slot not in taken and slot not in self._refused:
                self._start(slot)
        self._await(slots)
        return gone

    def add(self, loaded: Any) -> None:
        """Add an actor that has loaded its models, or refuse its slot."""
        actor = self.loading.pop(loaded)
        try:
            info: ActorInfo = ray.get(loaded)
        except RayError as error:
            _kill(actor)
            if self.is_there(actor.slot):
                self._report_refused(actor.slot, _cause(error))
            return
        if not is_same(info.version):
            _kill(actor)
            install = how_to_install(info.version)
            self._report_refused(actor.slot, f"it has stem {info.version}. {install}")
            return
        self._on_event(WorkerJoined(actor.slot.name, info.device, info.precision))
        self.actors.append(actor)

    def choose(self, *, alone: bool) -> PooledActor | None:
        """Return the actor with the fewest songs that has room for one more.

        Args:
            alone: choose only an actor that holds no song.
        """
        rooms = 1 if alone else ROOMS
        free = [actor for actor in self.actors if actor.songs < rooms and not actor.is_reserved]
        return min(free, key=lambda actor: actor.songs, default=None)

    def lose(self, actor: PooledActor, reason: str) -> None:
        """Remove an actor that no longer responds."""
        if self._remove(actor):
            self._on_event(WorkerLost(actor.slot.name, reason))
            _kill(actor)

    def refuse(self, actor: PooledActor, reason: str) -> None:
        """End an actor that cannot do the work; its slot stays empty."""
        if self._remove(actor):
            self._report_refused(actor.slot, reason)
            _stop([actor])

    def is_there(self, slot: WorkerSlot) -> bool:
        """Whether the node of a slot is still in the cluster."""
        with suppress(RayError):
            return slot in self._find_slots()
        return False

    def close(self) -> None:
        """End all actors; their songs leave nothing behind."""
        _stop(self.actors)
        for actor in self.loading.values():
            _kill(actor)
        self.actors, self.loading = [], {}

    def _start(self, slot: WorkerSlot) -> None:
        remote: Any = ray.remote(SeparationActor)
        handle = remote.options(
            num_cpus=slot.cores,
            num_gpus=slot.gpus,
            max_concurrency=ROOMS + 2,  # its songs, and calls of its other methods
            scheduling_strategy=_on(slot),
        ).remote(*self._arguments)
        self.loading[handle.load.remote()] = PooledActor(slot, handle)

    def _remove(self, actor: PooledActor) -> bool:
        """Remove an actor; False if another of its songs has reported it before."""
        if actor not in self.actors:
            return False
        self.actors.remove(actor)
        return True

    def _report_refused(self, slot: WorkerSlot, reason: str) -> None:
        self._refused[slot] = reason
        self._on_event(WorkerRefused(slot.name, reason))

    def _await(self, slots: Sequence[WorkerSlot]) -> None:
        """Report once that there is no actor.

        Raises:
            ClusterError: every slot was refused, so none will come.
        """
        self._looks_without = 0 if self.actors else self._looks_without + 1
        if self._looks_without == AWAITED:
            self._on_event(WorkersAwaited(len(slots)))
        reasons = [self._refused.get(slot) for slot in slots]
        if reasons and all(reasons) and not self.actors:
            raise ClusterError(f"No machine of the cluster can do the work: {reasons[0]}")

    def _count_failure(self, error: RayError) -> None:
        self._failed_looks += 1
        if self._failed_looks == AWAITED:
            raise ClusterError(
                f"The cluster no longer answers ({error}). Run the same command again when "
                "it does, to resume"
            ) from error


def _on(slot: WorkerSlot) -> Any:
    strategy: Any = NodeAffinitySchedulingStrategy
    return strategy(slot.node, soft=False)


def _stop(actors: Sequence[PooledActor]) -> None:
    """Let songs end within :data:`~stemcli.batch.ray_worker.GRACE`, then kill the actors."""
    stopped = [actor.handle.stop.remote() for actor in actors]
    if stopped:
        ray.wait(stopped, num_returns=len(stopped), timeout=GRACE)
    for actor in actors:
        _kill(actor)


def _kill(actor: PooledActor) -> None:
    with suppress(Exception):
        ray.kill(actor.handle)


def _cause(error: RayError) -> str:
    """The reason why an actor could not start, in one sentence."""
    if isinstance(error, RayTaskError):
        return str(error.cause)
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else type(error).__name__
    return f"{reason}. {how_to_install()}" if "ModuleNotFoundError" in reason else reason
