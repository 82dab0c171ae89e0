"""Letters and orders of a run on a cluster; worked by hand, without Ray."""

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


def test_letters_come_in_order_and_once_however_often_they_are_asked_for() -> None:
    async def story() -> None:
        post = ChannelActor()
        await post.begin(HOSTS)
        await post.tell(1, WorkerGroupPaused(1))
        first = await post.take(0, 1)
        assert first == [WorkerGroupStarted(1, HOSTS), WorkerGroupPaused(1)]
        # An answer that got lost on its way is given again.
        assert await post.take(0, 1) == first
        await post.tell(1, WorkerGroupPaused(2))
        assert await post.take(2, 1) == [WorkerGroupPaused(2)]
        assert await post.take(3, 0.01) == []

    run(story())


def test_a_letter_wakes_whoever_waits_for_it() -> None:
    async def story() -> list[Any]:
        post = ChannelActor()
        waiting = asyncio.create_task(post.take(0, 60))
        await asyncio.sleep(0)
        await post.note(LOST)
        return await waiting

    assert run(story()) == [LOST]


def test_only_the_crew_that_began_last_is_heard() -> None:
    async def story() -> tuple[str, str, list[Any]]:
        post = ChannelActor()
        await post.begin(HOSTS)
        await post.begin(("b",))
        old, new = await post.tell(1, WorkerGroupPaused(5)), await post.tell(2, None)
        return old, new, await post.take(0, 1)

    assert run(story()) == (
        "end",
        "",
        [WorkerGroupStarted(1, HOSTS), WorkerGroupStarted(2, ("b",))],
    )


def test_a_crew_is_told_to_stop_with_its_next_letter() -> None:
    async def story() -> list[str]:
        post = ChannelActor()
        await post.begin(HOSTS)
        before = await post.tell(1, WorkerGroupPaused(1))
        await post.command("stop")
        return [before, await post.tell(1, WorkerGroupPaused(2))]

    assert run(story()) == ["", "stop"]


def test_a_pause_ends_when_the_crew_has_saved() -> None:
    async def story() -> tuple[bool, list[str]]:
        post = ChannelActor()
        await post.begin(HOSTS)
        pausing = asyncio.create_task(post.pause(60))
        await asyncio.sleep(0)
        orders = [await post.tell(1, None), await post.tell(1, WorkerGroupPaused(7))]
        saved = await pausing
        await post.begin(("a", "b", "c"))
        return saved, [*orders, await post.tell(2, None)]

    assert run(story()) == (True, ["pause", "pause", ""])


def test_nobody_waits_for_a_crew_that_is_not_there() -> None:
    """Before the first, after one was lost, after it left, or when it is to stop in any case."""

    async def story() -> list[bool]:
        post = ChannelActor()
        before = await post.pause(60)
        await post.begin(HOSTS)
        await post.note(LOST)
        lost = await post.pause(60)
        await post.begin(HOSTS)
        await post.tell(2, WorkerGroupFinished(True, 9))
        left = await post.pause(60)
        await post.begin(HOSTS)
        await post.command("stop")
        return [before, lost, left, await post.pause(60)]

    assert run(story()) == [False] * 4


def test_a_crew_that_does_not_save_in_time_is_lost() -> None:
    """Ray ends it in any case."""

    async def story() -> tuple[bool, list[Any], bool]:
        post = ChannelActor()
        await post.begin(HOSTS)
        saved = await post.pause(0.01)
        return saved, await post.take(1, 1), await post.pause(60)

    late = WorkerGroupLost((), "it did not save within 0.01 s")
    assert run(story()) == (False, [late], False)


def test_a_crew_that_broke_is_not_awaited() -> None:
    async def story() -> tuple[bool, list[Any]]:
        post = ChannelActor()
        await post.begin(HOSTS)
        pausing = asyncio.create_task(post.pause(60))
        await asyncio.sleep(0)
        await post.tell(1, WorkerGroupRestarting())
        return await pausing, await post.take(1, 0.01)

    assert run(story()) == (True, [])


def test_a_crew_whose_machines_are_taken_away_saves_at_once() -> None:
    async def story() -> list[str]:
        post = ChannelActor()
        await post.pause_soon()
        await post.begin(HOSTS)
        before = await post.tell(1, None)
        await post.pause_soon()
        return [before, await post.tell(1, None)]

    assert run(story()) == ["", "pause"]
