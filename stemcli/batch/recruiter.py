"""Keeps a worker on every slot of a Ray cluster, whose machines come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from model_zoo.errors import ClusterError
from stemcli.batch.cluster_worker import Introduction, SeparationActor
from stemcli.batch.executor import AT_THE_ENDS
from stemcli.batch.report import WorkerJoined, WorkerLost, WorkerRefused, WorkersAwaited
from stemcli.batch.roster import Roster
from stemcli.cluster.nodes import WorkerSlot, find_slots
from stemcli.engine.events import Listener
from stemcli.version import how_to_install, is_same

INTERVAL = 1.0
"""Seconds between two looks at the cluster; far below the lease of a worker."""

ROOMS = 1 + AT_THE_ENDS
"""Songs that one worker holds."""

FAREWELL = 90.0
"""Seconds for workers to end their songs; longer than they are patient themselves."""

AWAITED = 30
"""Looks without a worker until that is told, and looks that may fail until that is the end."""

CALLS = ROOMS + 4
"""Methods of one worker that run at the same time: its songs, and words about them."""


@dataclass(frozen=True)
class PooledActor:
    """A worker on its slot; ``actor`` is Ray's handle of it."""

    slot: WorkerSlot
    actor: Any


class Recruiter:
    """A thread that looks after the workers.

    Args:
        roster: told who is there.
        tell: told who joined, was lost or refused.
        device: as :func:`~stemcli.cluster.nodes.find_slots`.
        jobs: likewise.
        arguments: of every :class:`~stemcli.batch.cluster_worker.Worker`.
        on_end: told when the work cannot go on, and why.
    """

    def __init__(
        self,
        roster: Roster[PooledActor],
        tell: Listener,
        device: str,
        jobs: int,
        arguments: tuple[Any, ...],
        on_end: Callable[[BaseException], None],
    ) -> None:
        self._roster, self._tell, self._on_end = roster, tell, on_end
        nodes: Any = ray.nodes
        self._find: Callable[[], list[WorkerSlot]] = lambda: find_slots(nodes(), device, jobs)
        self._arguments = arguments
        self._applicants: dict[PooledActor, Any] = {}  # and what they will say of themselves
        self._refused: dict[WorkerSlot, str] = {}
        self._looks_without = 0
        self._ended = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="recruiter", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking, and end all workers; their songs leave nothing behind."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        members = [*self._roster.workers, *self._applicants]
        farewells = [member.actor.stop.remote() for member in self._roster.workers]
        if farewells:
            ray.wait(farewells, num_returns=len(farewells), timeout=FAREWELL)
        for member in members:
            _kill(member)

    def lose(self, member: PooledActor, reason: str) -> None:
        """A worker does not answer any more."""
        if self._roster.remove(member):
            self._tell(WorkerLost(member.slot.name, reason))
            _kill(member)

    def refuse(self, member: PooledActor, reason: str) -> None:
        """A worker cannot do the work; its slot stays empty."""
        with self._looking:
            if not self._roster.remove(member):
                return  # another song was quicker to say so
            self._refuse(member.slot, reason)
        ray.wait([member.actor.stop.remote()], timeout=FAREWELL)
        _kill(member)

    def is_there(self, member: PooledActor) -> bool:
        """Whether the machine of a worker is still in the cluster."""
        return member.slot in self._find()

    def call_back(self) -> None:
        """Call songs back for whoever has less to do."""
        for hand in self._roster.calls():
            hand.worker.actor.call_back.remote(hand.number)

    def _run(self) -> None:
        failed = 0
        try:
            while not self._ended.wait(INTERVAL):
                try:
                    with self._looking:
                        self._look()
                    failed = 0
                except RayError as error:
                    failed += 1
                    if failed == AWAITED:
                        raise ClusterError(
                            f"The cluster does not answer any more ({error}). To go on, type the "
                            "same command again when it does"
                        ) from error
        except BaseException as error:  # whoever waits for a worker or a song must hear of it
            self._on_end(error)

    def _look(self) -> None:
        slots = self._find()
        self._forget_gone(slots)
        taken = {member.slot for member in (*self._roster.workers, *self._applicants)}
        for slot in slots:
            if slot not in taken and slot not in self._refused:
                self._invite(slot)
        for member in [*self._applicants]:
            self._hear(member, alive=member.slot in slots)
        for member in (*self._roster.workers, *self._applicants):
            member.actor.still_there.remote()
        self.call_back()
        self._await(slots)
        self._despair(slots)

    def _invite(self, slot: WorkerSlot) -> None:
        remote: Any = ray.remote(SeparationActor)
        actor = remote.options(
            num_cpus=slot.cores,
            num_gpus=slot.gpus,
            max_concurrency=CALLS,
            scheduling_strategy=_on(slot),
        ).remote(*self._arguments)
        self._applicants[PooledActor(slot, actor)] = actor.introduce.remote()

    def _hear(self, member: PooledActor, alive: bool) -> None:
        """Take an applicant on who has introduced himself."""
        coming = self._applicants[member]
        if not ray.wait([coming], timeout=0)[0]:
            return
        del self._applicants[member]
        try:
            introduction: Introduction = ray.get(coming)
        except RayError as error:
            _kill(member)
            if alive:
                self._refuse(member.slot, _cause(error))
            return
        if not is_same(introduction.version):
            _kill(member)
            reason = f"it has stem {introduction.version}. {how_to_install(introduction.version)}"
            self._refuse(member.slot, reason)
            return
        self._tell(WorkerJoined(member.slot.name, introduction.device, introduction.precision))
        self._roster.add(member, ROOMS)

    def _forget_gone(self, slots: Iterable[WorkerSlot]) -> None:
        """What Ray takes for dead is lost, whether or not it holds a song."""
        for member in self._roster.workers:
            if member.slot not in slots:
                self.lose(member, "its machine is gone")

    def _refuse(self, slot: WorkerSlot, reason: str) -> None:
        self._refused[slot] = reason
        self._tell(WorkerRefused(slot.name, reason))

    def _await(self, slots: Sequence[WorkerSlot]) -> None:
        """Say once that nobody comes, or that all have left."""
        self._looks_without = 0 if self._roster.workers else self._looks_without + 1
        if self._looks_without == AWAITED:
            self._tell(WorkersAwaited(len(slots)))

    def _despair(self, slots: Iterable[WorkerSlot]) -> None:
        """When every slot was refused, nobody will come."""
        reasons = [self._refused.get(slot) for slot in slots]
        if reasons and all(reasons) and not self._roster.workers:
            raise ClusterError(f"No machine of the cluster can do the work: {reasons[0]}")


def _on(slot: WorkerSlot) -> Any:
    strategy: Any = NodeAffinitySchedulingStrategy
    return strategy(slot.node, soft=False)


def _kill(member: PooledActor) -> None:
    with suppress(Exception):
        ray.kill(member.actor)


def _cause(error: RayError) -> str:
    """The sentence of whatever stopped a worker at its start."""
    if isinstance(error, RayTaskError):
        return str(error.cause)
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].strip() if lines else type(error).__name__
    return f"{reason}. {how_to_install()}" if "ModuleNotFoundError" in reason else reason
