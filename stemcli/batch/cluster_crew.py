"""The crew of a Ray cluster: workers on its machines, and this process, which hands out songs.

::

    run ──▶ ClusterCrew ──▶ Roster ◀── Recruiter ──▶ Ray
                 └──────── Talk ◀──── Worker, on each machine

This process plans, keeps the journal and shows what happens; workers read songs and write stems. A
song goes through the same steps as on one machine: a worker says when it has read it and when its
stems are complete, and goes on when that was noted down. So the songs of a worker that is lost can
be given to another at any moment.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import RayError

from model_zoo.errors import DeviceError, StemError, StorageError
from stemcli.audio.writer import leftovers
from stemcli.batch.crew import Crew, Outcome, Steps, open_local
from stemcli.batch.order import Order, UnableError
from stemcli.batch.plan import Task
from stemcli.batch.recruiter import Member, Recruiter
from stemcli.batch.roster import Hand, Roster
from stemcli.batch.slots import check_device, find_slots
from stemcli.batch.url_path import UrlPath, absolute, as_path
from stemcli.cluster import joined
from stemcli.engine.events import Event, Listener
from stemcli.engine.models import load_model
from stemcli.engine.options import Options

AT_ONCE = 512
"""Songs that are in the hands of workers at the same time, at most."""

LOSSES = 3
"""Workers that a song may take with it before it is taken for the reason."""


class ClusterCrew:
    """Songs given by the threads of this process are separated on a cluster.

    Args:
        options: what the user chose.
        listener: told everything that happens, from all machines.
        jobs: workers that share the cores of a machine without GPUs.
    """

    at_once = AT_ONCE

    def __init__(self, options: Options, listener: Listener, jobs: int) -> None:
        check_device(options.device)
        self._options, self._jobs = options, jobs
        self._telling = threading.Lock()
        self._listener = listener
        self._models = {name: load_model(name) for name in options.model}
        plan_here = replace(options, device="cpu")
        self._planner = open_local(plan_here, None, 1, load=self._models.__getitem__)
        self._roster: Roster[Member] = Roster()
        self._interrupted = threading.Event()
        self._spent: dict[Member, float] = {}  # seconds of each worker's network
        self._lost: list[Task] = []
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as leaving:
            leaving.enter_context(self._planner)
            leaving.enter_context(joined())
            self._require_slots()
            output = str(absolute(as_path(self._options.output)))
            there = replace(self._options, output=output)
            arguments = (there, ray.put(self._models))
            self._recruiter = Recruiter(
                self._roster, self._tell, self._options.device, self._jobs, arguments
            )
            leaving.callback(_clean, self._lost)
            leaving.callback(self._recruiter.close)
            self._recruiter.start()
            self._leaving = leaving.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving.close()

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~stemcli.batch.crew.Crew`."""
        return self._planner.settings

    @property
    def network_seconds(self) -> float:
        """See :class:`~stemcli.batch.crew.Crew`; a worker that came late counts as a whole one."""
        return sum(self._spent.values()) / max(1, len(self._spent))

    def plan(self, song: Path, *, folder: Path | None = None) -> dict[str, Path]:
        """See :class:`~stemcli.batch.plan.Planner`."""
        return self._planner.plan(song, folder=folder)

    def rank(self, task: Task) -> int:
        """See :class:`~stemcli.batch.crew.Crew`: large songs first, lest one be left at the end."""
        return -_size(task)

    def interrupt(self) -> None:
        """See :class:`~stemcli.batch.crew.Crew`."""
        self._interrupted.set()
        self._roster.close()

    def separate(self, task: Task, *, replace: bool, steps: Steps | None) -> Outcome:
        """See :class:`~stemcli.batch.crew.Crew`.

        Raises:
            StemError: whoever tries the song dies of it.
            ClusterError: nobody can do the work.
        """
        losses: list[str] = []
        while len(losses) < LOSSES:
            hand = self._roster.take(_size(task))
            order = self._order(hand, task, steps)
            try:
                outcome = order.run(replace=replace)
            except RayError as error:
                losses.append(_reason(error))
                outcome = self._after_loss(hand.worker, order, task, losses[-1])
            except UnableError as reason:
                self._recruiter.refuse(hand.worker, str(reason))
                outcome = None
            finally:
                self._roster.give_back(hand)
                self._call_back()
            if outcome:
                self._spent[hand.worker] = max(
                    order.network_seconds, self._spent.get(hand.worker, 0.0)
                )
                return outcome
        raise StemError(
            f"{LOSSES} workers died over {task.song.path} ({losses[-1]}). If their memory is too "
            "small, type a smaller --segment or --batch-size"
        )

    def _require_slots(self) -> None:
        nodes: Any = ray.nodes
        if self._options.device == "cuda" and not find_slots(nodes(), "cuda", self._jobs):
            raise DeviceError("The cluster has no GPU. Type --device auto or --device cpu")

    def _order(self, hand: Hand[Member], task: Task, steps: Steps | None) -> Order:
        def begin() -> None:
            hand.begun = True

        return Order(
            hand.worker.actor,
            hand.number,
            task,
            steps=steps,
            tell=self._tell,
            is_begun=begin,
            is_interrupted=self._interrupted,
        )

    def _after_loss(self, worker: Member, order: Order, task: Task, reason: str) -> Outcome | None:
        """Finish what the worker had only to rename; else remove what it left."""
        self._recruiter.lose(worker, reason)
        self._lost.append(task)
        outcome = order.finish()
        if not outcome:
            _clean([task])
        return outcome

    def _call_back(self) -> None:
        for hand in self._roster.calls():
            hand.worker.actor.call_back.remote(hand.number)

    def _tell(self, event: Event) -> None:
        with self._telling:
            self._listener(event)


def open_cluster(options: Options, listener: Listener, jobs: int) -> Crew:
    """See :class:`~stemcli.batch.crew.OpenCrew`."""
    return ClusterCrew(options, listener, jobs)


def _clean(tasks: Iterable[Task]) -> None:
    """Remove what workers that were lost had half written."""
    for task in tasks:
        for path in task.outputs.values():
            for file in leftovers(path):
                file.unlink(missing_ok=True)


def _size(task: Task) -> int:
    try:
        path = task.song.path
        return path.size if isinstance(path, UrlPath) else path.stat().st_size
    except (OSError, StorageError):
        return 0  # the worker will say why


def _reason(error: RayError) -> str:
    return str(error).splitlines()[0].rstrip(".")
