"""What Ray's controller tells of lost workers, in words for people; by hand."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.controller.state import (
    PreemptingState,
    ResizingState,
    RestartingState,
    RunningState,
)
from ray.train.v2.api.exceptions import WorkerGroupError

from trainers.cluster.job import WorkerGroupLost
from trainers.cluster.ray_train import SAVING, ControllerHooks, in_words, loss

DIED = WorkerHealthCheckFailedError("Worker 1 died", ActorDiedError())
RESET = RuntimeError("[gloo] first line\nConnection closed by peer [10.0.0.2]:1")


class Noted:
    """A post that keeps what it is told, called as Ray calls actors."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        class Method:
            @staticmethod
            def remote(*given: Any) -> Any:
                self.heard.append((name, *given))
                return name

        return Method


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DIED, "its process or its machine died"),
        (ActorDiedError(), "its process or its machine died"),
        (ActorUnavailableError("busy", None), "its machine does not answer"),
        (
            WorkerHealthCheckFailedError("", OutOfMemoryError("memory")),
            "its machine ran out of memory",
        ),
        (RESET, "RuntimeError: Connection closed by peer [10.0.0.2]:1"),
        (ValueError(), "ValueError: "),
    ],
)
def test_every_loss_has_words(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_the_dead_are_named_and_not_those_who_miss_them() -> None:
    error = WorkerGroupError("", {0: RESET, 1: DIED, 2: RESET})
    assert loss(error) == WorkerGroupLost((1,), "its process or its machine died")


def test_where_nobody_died_all_are_named() -> None:
    error = WorkerGroupError("", {1: RESET, 0: RESET})
    assert loss(error) == WorkerGroupLost((0, 1), in_words(RESET))


def test_an_error_of_ray_itself_has_its_own_words() -> None:
    assert loss(ValueError("no room")) == WorkerGroupLost((), "ValueError: no room")


def test_what_the_controller_does_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss once, and before a change the crew saves, which is waited for."""
    awaited: list[Any] = []
    monkeypatch.setattr("ray.get", awaited.append)
    post = Noted()
    watcher, running = ControllerHooks(post), RunningState()
    error: Any = WorkerGroupError("", {0: DIED})
    nothing: Any = None
    watcher.after_controller_state_update(running, running)
    assert post.heard == []
    watcher.after_controller_state_update(running, RestartingState(error))
    watcher.after_controller_state_update(running, PreemptingState(nothing, 0.0))
    watcher.after_controller_state_update(running, ResizingState(nothing))
    assert post.heard == [("note", loss(error)), ("pause_soon",), ("pause", SAVING)]
    assert awaited == ["pause"]
