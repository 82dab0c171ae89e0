"""The crew of a Ray cluster: workers on its machines, and this process, which hands out songs.

::

    run ──▶ RayExecutor ──▶ Roster ◀── Recruiter ──▶ Ray
                 └──────── Talk ◀──── Worker, on each machine

This process plans, keeps the journal and shows what happens; workers read songs and write stems. A
song goes through the same steps as on one machine: a worker says when it has read it and when its
stems are complete, and goes on when that was noted down. So the songs of a worker that is lost can
be given to another at any moment.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import ray
from ray.exceptions import RayError

from model_zoo.errors import DeviceError, StemError, StorageError, first_line
from stemcli.audio.writer import leftovers
from stemcli.batch.executor import Executor, Outcome, StepCallbacks, open_local
from stemcli.batch.order import BatchOrder, LostError, UnableError
from stemcli.batch.plan import SongTask
from stemcli.batch.recruiter import PooledActor, Recruiter
from stemcli.batch.roster import Hand, Roster
from stemcli.cluster import ray_session
from stemcli.cluster.nodes import check_device, find_slots
from stemcli.engine.checks import check_request
from stemcli.engine.events import Event, Listener
from stemcli.engine.models import load_model
from stemcli.engine.options import Options
from stemcli.remote_path import UrlPath, absolute, as_path

AT_ONCE = 512
"""Songs that are in the hands of workers at the same time, at most."""

LOSSES = 2
"""Workers that may die with no other song than this one before it is taken for the reason."""


class RayExecutor:
    """Songs given by the threads of this process are separated on a cluster.

    Args:
        options: what the user chose.
        listener: told everything that happens, from all machines.
        jobs: workers that share the cores of a machine without GPUs.
    """

    at_once = AT_ONCE

    def __init__(self, options: Options, listener: Listener, jobs: int) -> None:
        check_device(options.device)
        check_request(options)
        self._options, self._jobs = options, jobs
        self._telling = threading.Lock()
        self._listener = listener
        self._models = {name: load_model(name) for name in options.networks}
        plan_here = replace(options, device="cpu")
        self._planner = open_local(plan_here, None, 1, load=self._models.__getitem__)
        self._roster: Roster[PooledActor] = Roster()
        self._interrupted = threading.Event()
        self._spent: dict[PooledActor, float] = {}  # seconds of each worker's network
        self._unsettled: list[SongTask] = []
        self._end: BaseException | None = None
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as leaving:
            leaving.enter_context(self._planner)
            leaving.enter_context(ray_session())
            self._require_slots()
            output = str(absolute(as_path(self._options.output)))
            there = replace(self._options, output=output)
            arguments = (there, ray.put(self._models))
            self._recruiter = Recruiter(
                self._roster,
                self._tell,
                self._options.device,
                self._jobs,
                arguments,
                self._give_up,
            )
            leaving.callback(_clean, self._unsettled)
            leaving.callback(self._recruiter.close)
            self._recruiter.start()
            self._leaving = leaving.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving.close()

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`~stemcli.batch.executor.Executor`."""
        return self._planner.settings

    @property
    def network_seconds(self) -> float:
        """See :class:`~stemcli.batch.executor.Executor`; a worker that came late counts fully."""
        return sum(self._spent.values()) / max(1, len(self._spent))

    def plan(self, song: Path, *, folder: Path | None = None) -> dict[str, Path]:
        """See :class:`~stemcli.batch.plan.Planner`."""
        return self._planner.plan(song, folder=folder)

    def rank(self, task: SongTask) -> int:
        """See :class:`~stemcli.batch.executor.Executor`: large songs first."""
        return -_size(task)

    def interrupt(self) -> None:
        """See :class:`~stemcli.batch.executor.Executor`."""
        self._interrupted.set()
        self._roster.close()

    def separate(self, task: SongTask, *, replace: bool, steps: StepCallbacks | None) -> Outcome:
        """See :class:`~stemcli.batch.executor.Executor`.

        Raises:
            StemError: whoever tries the song dies of it.
            ClusterError: nobody can do the work.
        """
        alone, losses, reason = False, 0, ""
        while losses < LOSSES:
            hand = self._roster.take(_size(task), alone=alone)
            order = self._order(hand, task, steps)
            try:
                outcome = self._run(order, task, replace)
            except UnableError as why:
                self._recruiter.refuse(hand.worker, str(why))
                continue
            except (RayError, LostError) as error:
                reason = first_line(error)
                self._recruiter.lose(hand.worker, reason)
                outcome = self._after_loss(order, task)
                # If only the worker died, the next try shows which of its songs was the reason.
                died = self._recruiter.is_there(hand.worker)
                losses, alone = losses + (alone and died), alone or died
            finally:
                self._roster.give_back(hand)
                self._recruiter.call_back()
            if outcome:
                spent = max(order.network_seconds, self._spent.get(hand.worker, 0.0))
                self._spent[hand.worker] = spent
                return outcome
        raise StemError(
            f"{LOSSES} workers died over {task.song.path} ({reason}). If their memory is too "
            "small, type a smaller --segment or --batch-size"
        )

    def _run(self, order: BatchOrder, task: SongTask, replace: bool) -> Outcome | None:
        """Note songs of which something may lie about at the end."""
        try:
            outcome = order.run(replace=replace)
        except StemError:
            raise
        except KeyboardInterrupt:
            self._unsettled.append(task)
            raise (self._end or KeyboardInterrupt()) from None
        except BaseException:
            self._unsettled.append(task)
            raise
        if not outcome:
            self._unsettled.append(task)
        return outcome

    def _require_slots(self) -> None:
        nodes: Any = ray.nodes
        if self._options.device == "cuda" and not find_slots(nodes(), "cuda", self._jobs):
            raise DeviceError("The cluster has no GPU. Type --device auto or --device cpu")

    def _order(
        self, hand: Hand[PooledActor], task: SongTask, steps: StepCallbacks | None
    ) -> BatchOrder:
        def begin() -> None:
            hand.begun = True

        return BatchOrder(
            hand.worker.actor,
            hand.number,
            task,
            steps=steps,
            tell=self._tell,
            is_begun=begin,
            is_interrupted=self._interrupted,
        )

    def _after_loss(self, order: BatchOrder, task: SongTask) -> Outcome | None:
        """Finish what the worker had only to rename; else remove what it left."""
        outcome = order.finish()
        if not outcome:
            _clean([task])
        return outcome

    def _give_up(self, reason: BaseException) -> None:
        """Nobody looks after the workers any more."""
        self._end = reason
        self._interrupted.set()
        self._roster.close(reason)

    def _tell(self, event: Event) -> None:
        with self._telling:
            self._listener(event)


def open_cluster(options: Options, listener: Listener, jobs: int) -> Executor:
    """See :class:`~stemcli.batch.executor.OpenCrew`."""
    return RayExecutor(options, listener, jobs)


def _clean(tasks: Iterable[SongTask]) -> None:
    """Remove what workers had half written, as far as that is possible."""
    for task in tasks:
        for path in task.outputs.values():
            with suppress(OSError, StorageError):
                for file in leftovers(path):
                    file.unlink(missing_ok=True)


def _size(task: SongTask) -> int:
    try:
        path = task.song.path
        return path.size if isinstance(path, UrlPath) else path.stat().st_size
    except (OSError, StorageError):
        return 0  # the worker will say why
