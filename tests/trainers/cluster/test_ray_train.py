"""Descriptions of lost workers, and hooks of Ray Train's controller."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError
from ray.train import PreemptionError, PreemptionInfo, WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.controller.state import (
    PreemptingState,
    ResizingState,
    RestartingState,
    RunningState,
)

from trainers.cluster.job import WorkerGroupLost
from trainers.cluster.ray_train import (
    SAVE_TIMEOUT_S,
    ControllerHooks,
    describe_loss,
    group_lost,
)

DIED = WorkerHealthCheckFailedError("Worker 1 died", ActorDiedError())
RESET = RuntimeError("[gloo] first line\nConnection closed by peer [10.0.0.2]:1")


class FakeChannel:
    """A fake channel actor that records calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        class Method:
            @staticmethod
            def remote(*args: Any) -> Any:
                self.calls.append((name, *args))
                return name

        return Method


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DIED, "its process or its machine died"),
        (ActorDiedError(), "its process or its machine died"),
        (ActorUnavailableError("busy", None), "its machine does not answer"),
        (
            WorkerHealthCheckFailedError("", OutOfMemoryError("memory")),
            "its machine ran out of memory",
        ),
        (PreemptionError(PreemptionInfo(None, {"node": [0]})), "its machine was taken away"),
        (RESET, "RuntimeError: Connection closed by peer [10.0.0.2]:1"),
        (ValueError(), "ValueError: "),
    ],
)
def test_every_loss_is_described(error: Exception, text: str) -> None:
    assert describe_loss(error) == text


def test_only_dead_workers_are_named() -> None:
    error = WorkerGroupError("", {0: RESET, 1: DIED, 2: RESET})
    assert group_lost(error) == WorkerGroupLost((1,), "its process or its machine died")


def test_without_dead_workers_all_failed_ones_are_named() -> None:
    error = WorkerGroupError("", {1: RESET, 0: RESET})
    assert group_lost(error) == WorkerGroupLost((0, 1), describe_loss(RESET))


def test_errors_of_ray_itself_are_shown() -> None:
    assert group_lost(ValueError("no room")) == WorkerGroupLost((), "ValueError: no room")


def test_losses_are_reported_and_changes_wait_until_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The states are those that Ray's controller goes through."""
    awaited: list[Any] = []
    monkeypatch.setattr("ray.get", awaited.append)
    channel = FakeChannel()
    callback, running = ControllerHooks(channel).callback(), RunningState()
    error: Any = WorkerGroupError("", {0: DIED})
    nothing: Any = None
    callback.after_controller_state_update(running, running)
    assert channel.calls == []
    callback.after_controller_state_update(running, RestartingState(error))
    callback.after_controller_state_update(running, PreemptingState(nothing, 0.0))
    callback.after_controller_state_update(running, ResizingState(nothing))
    assert channel.calls == [
        ("add", group_lost(error)),
        ("pause", None),
        ("pause", SAVE_TIMEOUT_S),
    ]
    assert awaited == ["pause"]
