"""A fake of Ray's API whose actors run in this process with the fake engine.

Whenever the driver would wait for Ray, the next step that the test has scheduled runs instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayError

from stemcli.batch import ray_executor, ray_pool
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_worker import ActorInfo, Message, SeparationActor
from stemcli.engine.options import Options
from stemcli.version import version
from tests.stemcli.batch.fake import FakeSession

GOOD = ActorInfo("cpu", "fp32", version())


class Method:
    """A method of an actor handle that counts its calls."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer, self.calls = answer, 0

    def options(self, num_returns: str) -> Method:
        assert num_returns == "streaming"
        return self

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.answer(*args, **kwargs)


class Reference:
    """A reference to the return value of a method."""

    def __init__(self, actor: Actor, value: Any) -> None:
        self.actor, self.value = actor, value

    @property
    def is_ready(self) -> bool:
        return True


class Stream:
    """The stream of messages from an actor about one song."""

    def __init__(self, actor: Actor, task: SongTask, messages: Iterator[Message]) -> None:
        self.actor, self.task, self._messages = actor, task, messages

    @property
    def is_ready(self) -> bool:
        return self.actor.error is not None or not self.actor.is_held

    def __next__(self) -> Message | RayError:
        return self.actor.error or next(self._messages)


class Actor:
    """A real SeparationActor behind a handle like Ray's.

    Attributes:
        node: name of its node.
        songs: names of the songs it was sent.
        is_held: whether its messages are held back.
        error: the error that Ray raises instead of its messages.
    """

    def __init__(self, node: str, info: Any, args: tuple[Any, ...]) -> None:
        self.node, self.songs = node, list[str]()
        self.is_held, self.error = False, None if info else RayError("never there")
        self.load = Method(lambda: Reference(self, info))
        self.stop = Method(lambda: Reference(self, self._actor.stop()))
        self.separate = Method(self._separate)
        self._actor = SeparationActor(*args)

    def _separate(self, task: SongTask, *, replace: bool) -> Stream:
        self.songs.append(task.song.path.name)
        return Stream(self, task, self.messages(task, replace))

    def messages(self, task: SongTask, replace: bool) -> Iterator[Message]:
        """All messages about a song; tests may replace this method."""
        return self._actor.separate(task, replace=replace)


class SynchronousPool:
    """An executor that runs each call at once, in the calling thread."""

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, cancel_futures: bool) -> None: ...


class FakeRay:
    """A fake of the ``ray`` module.

    Attributes:
        live_nodes: the nodes that are alive, and what ``load`` of their actors returns.
        actors: all actors that were started.
        killed: the actors that were killed.
        plan: steps to run, one each time the driver waits.
        hold_new: whether messages of new actors are held back.
        before: called with each song before the engine separates it.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.live_nodes: dict[str, Any] = {}
        self.actors: list[Actor] = []
        self.killed: list[Actor] = []
        self.plan: list[Callable[[], object]] = []
        self.hold_new = False
        self.before: Callable[[Path], object] = lambda song: None
        patch.setattr(ray_executor, "ray", self)
        patch.setattr(ray_pool, "ray", self)
        patch.setattr(ray_pool, "_on", lambda slot: slot.node)
        patch.setattr(ray_executor, "LOOK", 0.0)
        patch.setattr(ray_executor, "PATIENCE", 0.0)
        patch.setattr(ray_executor, "ThreadPoolExecutor", lambda *_, **__: SynchronousPool())
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: self.next_step())
        patch.setattr(ray_executor, "time", clock)
        patch.setattr(ray_executor, "ray_session", nullcontext)
        patch.setattr(ray_executor, "check_request", lambda options: None)
        patch.setattr(ray_executor, "load_model", lambda name: name)
        patch.setattr("stemcli.engine.session.Session", self._open_session)

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "NodeManagerHostname": name,
                "NodeManagerAddress": "ip",
                "Alive": True,
                "Resources": {"CPU": 1.0},
            }
            for name in self.live_nodes
        ]

    def remote(self, kind: type) -> Any:
        assert kind is SeparationActor

        def make(**choices: Any) -> Any:
            node = choices["scheduling_strategy"]
            return SimpleNamespace(remote=lambda *args: self._start(node, args))

        return SimpleNamespace(options=make)

    def put(self, value: Any) -> Any:
        return value

    def wait(
        self, waiting: list[Any], *, num_returns: int = 1, timeout: float
    ) -> tuple[list[Any], list[Any]]:
        ready = [each for each in waiting if each.is_ready]
        if not ready:
            self.next_step()
        return ready, [each for each in waiting if each not in ready]

    def get(self, answer: Any) -> Any:
        value = answer.value if isinstance(answer, Reference) else answer
        if isinstance(value, Exception):
            raise value
        return value

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)

    def next_step(self) -> None:
        """Run the next scheduled step; fail rather than wait forever."""
        assert self.plan, "the driver waits, and no step is scheduled"
        self.plan.pop(0)()

    def _start(self, node: str, args: tuple[Any, ...]) -> Actor:
        self.actors.append(Actor(node, self.live_nodes[node], args))
        self.actors[-1].is_held = self.hold_new
        return self.actors[-1]

    def _open_session(self, options: Options, on_event: Any, *, jobs: int, load: Any) -> Any:
        return FakeSession(options, on_event, jobs, before=self._before)

    def _before(self, song: Path) -> None:
        self.before(song)
