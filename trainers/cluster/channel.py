"""Letters between the workers of a run and the process that started it.

::

    rank 0  ── events ───▶  Post  ── letters ──▶  the process that shows them
            ◀── commands ──        ◀── commands ──

The post is an actor on the machine of that process. A worker that is cut off from it can neither
tell nor save anything: nobody but the crew that began last writes into the folder of the run.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Literal

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stemcli.engine.events import Event
from trainers.cluster.job import (
    WorkerGroupFailed,
    WorkerGroupFinished,
    WorkerGroupLost,
    WorkerGroupPaused,
    WorkerGroupRestarting,
    WorkerGroupStarted,
)

Command = Literal["", "pause", "stop", "end"]
"""What a crew is to do after its step: go on, save and wait, save and leave, or end at once, since
another has taken over."""


class ChannelActor:
    """The actor's own side; all others use a :class:`WorkerChannel`."""

    def __init__(self) -> None:
        self._letters: list[Event] = []
        self._delivered = 0
        self._news = asyncio.Event()
        self._attempt = 0
        self._command: Command = ""
        self._gone = asyncio.Event()

    async def begin(self, hosts: tuple[str, ...]) -> int:
        """A crew is together; returns the number of its attempt."""
        self._attempt += 1
        if self._command == "pause":
            self._command = ""
        self._gone.clear()
        self._put(WorkerGroupStarted(self._attempt, hosts))
        return self._attempt

    async def tell(self, attempt: int, letter: Event | None) -> Command:
        """Take a letter in; returns what to do."""
        if attempt != self._attempt:
            return "end"
        if isinstance(
            letter,
            (WorkerGroupFinished, WorkerGroupFailed, WorkerGroupPaused, WorkerGroupRestarting),
        ):
            self._gone.set()
        if letter and not isinstance(letter, WorkerGroupRestarting):
            self._put(letter)
        return self._command

    async def note(self, letter: Event) -> None:
        """A letter of Ray's controller, which comes from no worker."""
        if isinstance(letter, WorkerGroupLost):
            self._gone.set()
        self._put(letter)

    async def pause_soon(self) -> None:
        """Let the crew save and wait; nobody waits for it."""
        if not self._command and self._is_at_work:
            self._command = "pause"

    async def command(self, command: Command) -> None:
        """What the crew shall do after its step."""
        self._command = command

    async def pause(self, seconds: float) -> bool:
        """Let the crew, if there is one, save and wait; returns whether it did in ``seconds``."""
        if self._command or not self._is_at_work:
            return False
        self._command = "pause"
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            await self.note(WorkerGroupLost((), f"it did not save within {seconds:g} s"))
            return False
        return True

    async def take(self, seen: int, seconds: float) -> list[Event]:
        """Letters after the first ``seen``; waits up to ``seconds`` for one."""
        del self._letters[: seen - self._delivered]
        self._delivered = seen
        if not self._letters:
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds)
        return self._letters

    @property
    def _is_at_work(self) -> bool:
        return self._attempt > 0 and not self._gone.is_set()

    def _put(self, letter: Event) -> None:
        self._letters.append(letter)
        self._news.set()


class DriverChannel:
    """The side of the process that started the run."""

    def __init__(self) -> None:
        here: Any = ray.get_runtime_context().get_node_id()
        remote: Any = ray.remote(ChannelActor)
        self.actor = remote.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)
        ).remote()
        self._seen = 0

    def events(self, seconds: float) -> list[Event]:
        """Letters that are not done with; waits up to ``seconds`` for one."""
        return ray.get(self.actor.take.remote(self._seen, seconds))

    def acknowledge(self) -> None:
        """The next letter was read, and does not come again."""
        self._seen += 1

    def command(self, command: Command) -> None:
        """What the crew shall do after its step."""
        ray.get(self.actor.command.remote(command))


class WorkerChannel:
    """The side of a worker.

    Args:
        actor: the post, as Ray hands it around.
        attempt: number of the worker's crew.
    """

    def __init__(self, actor: Any, attempt: int) -> None:
        self._actor, self._attempt = actor, attempt
        self._last: Any = None

    def send(self, letter: Event) -> Command:
        """Send a letter without waiting; returns what the last one was answered."""
        answered, self._last = self._last, self._actor.tell.remote(self._attempt, letter)
        return ray.get(answered) if answered else ""

    def request(self, letter: Event | None = None) -> Command:
        """Send a letter, if there is one, and wait for its answer."""
        return ray.get(self._actor.tell.remote(self._attempt, letter))
