"""A Ray cluster of a few lines, whose actors run in this process with the engine of text files.

What happens in a test happens when the driver has nothing to do: then it would wait for Ray, and
the next of the things that the test has planned takes place instead.
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
    """Of an actor: counts its calls."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer, self.calls = answer, 0

    def options(self, num_returns: str) -> Method:
        assert num_returns == "streaming"
        return self

    def remote(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        return self.answer(*arguments, **named)


class Reference:
    """To what a method will return."""

    def __init__(self, actor: Actor, value: Any) -> None:
        self.actor, self.value = actor, value

    @property
    def is_ready(self) -> bool:
        return True


class Stream:
    """The messages of an actor about one song."""

    def __init__(self, actor: Actor, task: SongTask, messages: Iterator[Message]) -> None:
        self.actor, self.task, self._messages = actor, task, messages

    @property
    def is_ready(self) -> bool:
        return self.actor.error is not None or not self.actor.is_held

    def __next__(self) -> Message | RayError:
        return self.actor.error or next(self._messages)


class Actor:
    """A real actor of ours behind a handle like Ray's.

    Attributes:
        node: where it runs.
        songs: names of the songs that it was given.
        is_held: whether it says nothing for now.
        error: what Ray has in the place of its messages.
    """

    def __init__(self, node: str, info: Any, arguments: tuple[Any, ...]) -> None:
        self.node, self.songs = node, list[str]()
        self.is_held, self.error = False, None if info else RayError("never there")
        self.load = Method(lambda: Reference(self, info))
        self.stop = Method(lambda: Reference(self, self._actor.stop()))
        self.separate = Method(self._separate)
        self._actor = SeparationActor(*arguments)

    def _separate(self, task: SongTask, *, replace: bool) -> Stream:
        self.songs.append(task.song.path.name)
        return Stream(self, task, self.say(task, replace))

    def say(self, task: SongTask, replace: bool) -> Iterator[Message]:
        """All that the actor says of a song; a test may put other words in its place."""
        return self._actor.separate(task, replace=replace)


class AtOnce:
    """A pool of threads that has done everything when it is asked."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, cancel_futures: bool) -> None: ...


class FakeRay:
    """Nodes by their names, and what actors say of themselves there.

    Attributes:
        nodes_there: the nodes that are alive, and what their actors answer when they are loaded.
        actors: all that were started.
        killed: those that were killed.
        plan: what happens, one after the other, whenever the driver waits.
        cores: of every node; one actor has all of them.
        before: told the song that the engine begins.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.nodes_there: dict[str, Any] = {}
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
        patch.setattr(ray_executor, "ThreadPoolExecutor", lambda *_, **__: AtOnce())
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: self.go_on())
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
            for name in self.nodes_there
        ]

    def remote(self, kind: type) -> Any:
        assert kind is SeparationActor

        def make(**choices: Any) -> Any:
            node = choices["scheduling_strategy"]
            return SimpleNamespace(remote=lambda *arguments: self._start(node, arguments))

        return SimpleNamespace(options=make)

    def put(self, value: Any) -> Any:
        return value

    def wait(
        self, waiting: list[Any], *, num_returns: int = 1, timeout: float
    ) -> tuple[list[Any], list[Any]]:
        ready = [each for each in waiting if each.is_ready]
        if not ready:
            self.go_on()
        return ready, [each for each in waiting if each not in ready]

    def get(self, answer: Any) -> Any:
        value = answer.value if isinstance(answer, Reference) else answer
        if isinstance(value, Exception):
            raise value
        return value

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)

    def go_on(self) -> None:
        """The next thing that was planned; nothing may wait for ever."""
        assert self.plan, "the driver waits, and nothing will happen"
        self.plan.pop(0)()

    def _start(self, node: str, arguments: tuple[Any, ...]) -> Actor:
        self.actors.append(Actor(node, self.nodes_there[node], arguments))
        self.actors[-1].is_held = self.hold_new
        return self.actors[-1]

    def _open_session(self, options: Options, listener: Any, *, jobs: int, load: Any) -> Any:
        return FakeSession(options, listener, jobs, before=self._meet)

    def _meet(self, song: Path) -> None:
        self.before(song)
