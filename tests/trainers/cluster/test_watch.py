"""What Ray's controller tells of lost workers, in words for people; by hand."""

from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from trainers.cluster.events import CrewLost
from trainers.cluster.watch import Watcher, in_words

DIED = WorkerHealthCheckFailedError("Worker 1 died", ActorDiedError())
RESET = RuntimeError("[gloo] first line\nConnection closed by peer [10.0.0.2]:1")


class Noted:
    """A post that keeps what it is told, called as Ray calls actors."""

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.note = self

    def remote(self, letter: Any) -> None:
        self.letters.append(letter)


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
    post = Noted()
    Watcher(post).after_exception(None, {0: RESET, 1: DIED, 2: RESET})
    assert post.letters == [CrewLost((1,), "its process or its machine died")]


def test_where_nobody_died_all_are_named() -> None:
    post = Noted()
    Watcher(post).after_exception(None, {1: RESET, 0: RESET})
    assert post.letters == [CrewLost((0, 1), in_words(RESET))]
