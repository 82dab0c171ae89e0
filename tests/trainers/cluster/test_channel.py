"""Events and commands of a run on a cluster, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from trainers.cluster.channel import ChannelActor
from trainers.cluster.job import (
    WorkerGroupFinished,
    WorkerGroupLost,
    WorkerGroupPaused,
    WorkerGroupRestarting,
    WorkerGroupStarted,
)

T = TypeVar("T")
HOSTS = ("a", "b")
LOST = WorkerGroupLost((1,), "gone")


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(scenario)


def test_events_come_in_order_until_they_are_acknowledged() -> None:
    async def scenario() -> None:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        await channel.send(1, WorkerGroupPaused(1))
        first = await channel.events(0, 1)
        assert first == [WorkerGroupStarted(1, HOSTS), WorkerGroupPaused(1)]
        # A lost answer can be requested again.
        assert await channel.events(0, 1) == first
        await channel.send(1, WorkerGroupPaused(2))
        assert await channel.events(2, 1) == [WorkerGroupPaused(2)]
        assert await channel.events(3, 0.01) == []

    run(scenario())


def test_an_event_ends_waiting() -> None:
    async def scenario() -> list[Any]:
        channel = ChannelActor()
        waiting = asyncio.create_task(channel.events(0, 60))
        await asyncio.sleep(0)
        await channel.add(LOST)
        return await waiting

    assert run(scenario()) == [LOST]


def test_only_the_latest_group_is_served() -> None:
    async def scenario() -> tuple[str, str, list[Any]]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        await channel.begin(("b",))
        old, new = await channel.send(1, WorkerGroupPaused(5)), await channel.send(2, None)
        return old, new, await channel.events(0, 1)

    assert run(scenario()) == (
        "end",
        "",
        [WorkerGroupStarted(1, HOSTS), WorkerGroupStarted(2, ("b",))],
    )


def test_a_command_is_the_answer_to_the_next_event() -> None:
    async def scenario() -> list[str]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        before = await channel.send(1, WorkerGroupPaused(1))
        await channel.command("stop")
        return [before, await channel.send(1, WorkerGroupPaused(2))]

    assert run(scenario()) == ["", "stop"]


def test_a_pause_ends_when_the_workers_have_saved() -> None:
    async def scenario() -> tuple[bool, list[str]]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        pausing = asyncio.create_task(channel.pause(60))
        await asyncio.sleep(0)
        commands = [await channel.send(1, None), await channel.send(1, WorkerGroupPaused(7))]
        saved = await pausing
        await channel.begin(("a", "b", "c"))
        return saved, [*commands, await channel.send(2, None)]

    assert run(scenario()) == (True, ["pause", "pause", ""])


def test_a_pause_without_workers_returns_at_once() -> None:
    """No group runs before the first, after one was lost or finished, and once it has to stop."""

    async def scenario() -> list[bool]:
        channel = ChannelActor()
        before = await channel.pause(60)
        await channel.begin(HOSTS)
        await channel.add(LOST)
        lost = await channel.pause(60)
        await channel.begin(HOSTS)
        await channel.send(2, WorkerGroupFinished(True, 9))
        left = await channel.pause(60)
        await channel.begin(HOSTS)
        await channel.command("stop")
        return [before, lost, left, await channel.pause(60)]

    assert run(scenario()) == [False] * 4


def test_a_group_that_does_not_save_in_time_is_lost() -> None:
    """Ray ends it anyway."""

    async def scenario() -> tuple[bool, list[Any], bool]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        saved = await channel.pause(0.01)
        return saved, await channel.events(1, 1), await channel.pause(60)

    late = WorkerGroupLost((), "it did not save within 0.01 s")
    assert run(scenario()) == (False, [late], False)


def test_a_pause_ends_when_the_group_restarts() -> None:
    async def scenario() -> tuple[bool, list[Any]]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        pausing = asyncio.create_task(channel.pause(60))
        await asyncio.sleep(0)
        await channel.send(1, WorkerGroupRestarting())
        return await pausing, await channel.events(1, 0.01)

    assert run(scenario()) == (True, [])


def test_a_preempted_group_may_save_without_a_timeout() -> None:
    """This also holds when Ray then wants to change the number of workers."""

    async def scenario() -> tuple[list[str], bool, bool]:
        channel = ChannelActor()
        assert not await channel.pause(None)
        await channel.begin(HOSTS)
        commands = [await channel.send(1, None)]
        preempted = asyncio.create_task(channel.pause(None))
        await asyncio.sleep(0)
        commands.append(await channel.send(1, None))
        resized = asyncio.create_task(channel.pause(60))
        await asyncio.sleep(0)
        assert not preempted.done()
        assert not resized.done()
        await channel.send(1, WorkerGroupPaused(3))
        return commands, await preempted, await resized

    assert run(scenario()) == (["", "pause"], True, True)
