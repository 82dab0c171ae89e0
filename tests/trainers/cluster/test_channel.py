"""Events and commands of a run on a cluster; worked by hand, without Ray."""

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


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


def test_events_come_in_order_and_again_until_they_are_acknowledged() -> None:
    async def story() -> None:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        await channel.send(1, WorkerGroupPaused(1))
        first = await channel.events(0, 1)
        assert first == [WorkerGroupStarted(1, HOSTS), WorkerGroupPaused(1)]
        # An answer that got lost on its way is given again.
        assert await channel.events(0, 1) == first
        await channel.send(1, WorkerGroupPaused(2))
        assert await channel.events(2, 1) == [WorkerGroupPaused(2)]
        assert await channel.events(3, 0.01) == []

    run(story())


def test_an_event_ends_the_wait_for_it() -> None:
    async def story() -> list[Any]:
        channel = ChannelActor()
        waiting = asyncio.create_task(channel.events(0, 60))
        await asyncio.sleep(0)
        await channel.add(LOST)
        return await waiting

    assert run(story()) == [LOST]


def test_only_the_group_that_began_last_is_served() -> None:
    async def story() -> tuple[str, str, list[Any]]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        await channel.begin(("b",))
        old, new = await channel.send(1, WorkerGroupPaused(5)), await channel.send(2, None)
        return old, new, await channel.events(0, 1)

    assert run(story()) == (
        "end",
        "",
        [WorkerGroupStarted(1, HOSTS), WorkerGroupStarted(2, ("b",))],
    )


def test_a_command_comes_in_answer_to_the_next_event() -> None:
    async def story() -> list[str]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        before = await channel.send(1, WorkerGroupPaused(1))
        await channel.command("stop")
        return [before, await channel.send(1, WorkerGroupPaused(2))]

    assert run(story()) == ["", "stop"]


def test_a_pause_ends_when_the_workers_have_saved() -> None:
    async def story() -> tuple[bool, list[str]]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        pausing = asyncio.create_task(channel.pause(60))
        await asyncio.sleep(0)
        commands = [await channel.send(1, None), await channel.send(1, WorkerGroupPaused(7))]
        saved = await pausing
        await channel.begin(("a", "b", "c"))
        return saved, [*commands, await channel.send(2, None)]

    assert run(story()) == (True, ["pause", "pause", ""])


def test_a_pause_without_workers_returns_at_once() -> None:
    """Before the first group, after one was lost or finished, or when it is to stop anyway."""

    async def story() -> list[bool]:
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

    assert run(story()) == [False] * 4


def test_a_group_that_does_not_save_in_time_is_lost() -> None:
    """Ray ends it anyway."""

    async def story() -> tuple[bool, list[Any], bool]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        saved = await channel.pause(0.01)
        return saved, await channel.events(1, 1), await channel.pause(60)

    late = WorkerGroupLost((), "it did not save within 0.01 s")
    assert run(story()) == (False, [late], False)


def test_a_pause_ends_when_the_group_restarts() -> None:
    async def story() -> tuple[bool, list[Any]]:
        channel = ChannelActor()
        await channel.begin(HOSTS)
        pausing = asyncio.create_task(channel.pause(60))
        await asyncio.sleep(0)
        await channel.send(1, WorkerGroupRestarting())
        return await pausing, await channel.events(1, 0.01)

    assert run(story()) == (True, [])


def test_a_group_whose_node_is_taken_away_saves_however_long_it_takes() -> None:
    """Also when Ray then asks to change the number of workers."""

    async def story() -> tuple[list[str], bool, bool]:
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

    assert run(story()) == (["", "pause"], True, True)
