"""Letters between the workers of a run and the process that started it.

::

    rank 0  ── events ──▶  Post  ── letters ──▶  the process that shows them
            ◀── orders ──        ◀── orders ──

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
from trainers.cluster.events import CrewFailed, CrewLeft, CrewLost, CrewPaused, CrewStarted

Order = Literal["", "pause", "stop", "end"]
"""What a crew is to do after its step: go on, save and wait, save and leave, or end at once, since
another has taken over."""


class Post:
    """The actor's own side; all others use a :class:`Line`."""

    def __init__(self) -> None:
        self._letters: list[Event] = []
        self._delivered = 0
        self._news = asyncio.Event()
        self._attempt = 0
        self._order: Order = ""
        self._gone = asyncio.Event()

    async def begin(self, hosts: tuple[str, ...]) -> int:
        """A crew is together; returns the number of its attempt."""
        self._attempt += 1
        if self._order == "pause":
            self._order = ""
        self._gone.clear()
        self._put(CrewStarted(self._attempt, hosts))
        return self._attempt

    async def tell(self, attempt: int, letter: Event | None) -> Order:
        """Take a letter in; returns what to do."""
        if attempt != self._attempt:
            return "end"
        if letter:
            self._put(letter)
        if isinstance(letter, (CrewLeft, CrewFailed, CrewPaused)):
            self._gone.set()
        return self._order

    async def note(self, letter: Event) -> None:
        """A letter of Ray's controller, which comes from no worker."""
        if isinstance(letter, CrewLost):
            self._gone.set()
        self._put(letter)

    async def order(self, order: Order) -> None:
        """What the crew shall do after its step."""
        self._order = order

    async def pause(self, seconds: float) -> bool:
        """Let the crew, if there is one, save and wait; returns whether it did in ``seconds``."""
        if self._order or not self._attempt or self._gone.is_set():
            return False
        self._order = "pause"
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            self._order = "" if self._order == "pause" else self._order
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

    def _put(self, letter: Event) -> None:
        self._letters.append(letter)
        self._news.set()


class Mailbox:
    """The side of the process that started the run."""

    def __init__(self) -> None:
        here: Any = ray.get_runtime_context().get_node_id()
        remote: Any = ray.remote(Post)
        self.actor = remote.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)
        ).remote()
        self._seen = 0

    def take(self, seconds: float) -> list[Event]:
        """Letters that came since the last call; waits up to ``seconds`` for one."""
        letters: list[Event] = ray.get(self.actor.take.remote(self._seen, seconds))
        self._seen += len(letters)
        return letters

    def order(self, order: Order) -> None:
        """What the crew shall do after its step."""
        ray.get(self.actor.order.remote(order))


class Line:
    """The side of a worker.

    Args:
        actor: the post, as Ray hands it around.
        attempt: number of the worker's crew.
    """

    def __init__(self, actor: Any, attempt: int) -> None:
        self._actor, self._attempt = actor, attempt
        self._last: Any = None

    def tell(self, letter: Event) -> Order:
        """Send a letter without waiting; returns what the last one was answered."""
        answered, self._last = self._last, self._actor.tell.remote(self._attempt, letter)
        return ray.get(answered) if answered else ""

    def ask(self, letter: Event | None = None) -> Order:
        """Send a letter, if there is one, and wait for its answer."""
        return ray.get(self._actor.tell.remote(self._attempt, letter))
