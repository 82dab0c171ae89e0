"""Events from the workers of a run to the driver, and commands from the driver to the workers.

::

    worker of rank 0  ── events ───▶  ChannelActor  ── events ────▶  driver
                      ◀── commands ──               ◀── commands ──

Ray Train has no such channel: ``ray.train.report`` is a barrier for all workers, ``UserCallback``
runs in Ray's controller, and neither tells workers to stop after their current step.

The actor lives on the driver's node. Each worker group has an attempt number, and only the group
that started last is served: a worker that was cut off can neither report nor store anything
(``tests/trainers/cluster/test_hosts.py``).
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
"""What workers do after their step: continue, save and wait, save and leave, or end at once because
a newer group has taken over."""

_LAST = (WorkerGroupFinished, WorkerGroupFailed, WorkerGroupPaused, WorkerGroupRestarting)
"""Events after which a group does no further step."""


class ChannelActor:
    """The actor; the driver uses a :class:`DriverChannel`, a worker a :class:`WorkerChannel`."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._acknowledged = 0
        self._has_events = asyncio.Event()
        self._attempt = 0
        self._command: Command = ""
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def begin(self, hosts: tuple[str, ...]) -> int:
        """Register a new worker group; returns its attempt number."""
        self._attempt += 1
        if self._command == "pause":
            self._command = ""
        self._is_idle.clear()
        self._add(WorkerGroupStarted(self._attempt, hosts))
        return self._attempt

    async def send(self, attempt: int, event: Event | None) -> Command:
        """Take an event from a worker, if there is one; returns the current command."""
        if attempt != self._attempt:
            return "end"
        if isinstance(event, _LAST):
            self._is_idle.set()
        if event and not isinstance(event, WorkerGroupRestarting):
            self._add(event)
        return self._command

    async def add(self, event: Event) -> None:
        """Take an event that does not depend on the attempt, such as those of the controller."""
        if isinstance(event, WorkerGroupLost):
            self._is_idle.set()
        self._add(event)

    async def command(self, command: Command) -> None:
        """Set the command for the workers."""
        self._command = command

    async def pause(self, timeout: float | None) -> bool:
        """Let the workers save and wait; returns whether they did within ``timeout`` seconds.

        Without workers at work, or when they are to stop anyway, it returns at once.
        """
        if self._command == "stop" or self._is_idle.is_set():
            return False
        self._command = "pause"
        try:
            await asyncio.wait_for(self._is_idle.wait(), timeout)
        except TimeoutError:
            await self.add(WorkerGroupLost((), f"it did not save within {timeout:g} s"))
            return False
        return True

    async def events(self, acknowledged: int, timeout: float) -> list[Event]:
        """Return the events after the first ``acknowledged``; waits up to ``timeout`` seconds."""
        del self._events[: acknowledged - self._acknowledged]
        self._acknowledged = acknowledged
        if not self._events:
            self._has_events.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_events.wait(), timeout)
        return self._events

    def _add(self, event: Event) -> None:
        self._events.append(event)
        self._has_events.set()


class DriverChannel:
    """The driver's end of the channel; makes the actor."""

    def __init__(self) -> None:
        here: Any = ray.get_runtime_context().get_node_id()
        remote: Any = ray.remote(ChannelActor)
        self.actor = remote.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)
        ).remote()
        self._acknowledged = 0

    def events(self, timeout: float) -> list[Event]:
        """Return all unacknowledged events; waits up to ``timeout`` seconds for one."""
        return ray.get(self.actor.events.remote(self._acknowledged, timeout))

    def acknowledge(self) -> None:
        """Mark the next event as read, so that it does not come again."""
        self._acknowledged += 1

    def command(self, command: Command) -> None:
        """Set the command for the workers."""
        ray.get(self.actor.command.remote(command))


class WorkerChannel:
    """A worker's end of the channel.

    Args:
        actor: Ray's handle of the :class:`ChannelActor`.
        attempt: number of the worker's group.
    """

    def __init__(self, actor: Any, attempt: int) -> None:
        self._actor, self._attempt = actor, attempt
        self._pending: Any = None

    def send(self, event: Event) -> Command:
        """Send an event without waiting; returns the command that the previous one received."""
        previous, self._pending = self._pending, self._actor.send.remote(self._attempt, event)
        return ray.get(previous) if previous else ""

    def request(self, event: Event | None = None) -> Command:
        """Send an event, if there is one, and wait for the current command."""
        return ray.get(self._actor.send.remote(self._attempt, event))
