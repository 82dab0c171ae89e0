"""What Ray Train's controller tells of its workers, and is told before it changes their number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError
from ray.exceptions import OutOfMemoryError as OutOfHostMemory
from ray.train import UserCallback
from ray.train.v2._internal.execution.callback import ControllerCallback

from trainers.cluster.events import CrewLost

SAVING = 120.0
"""Seconds that a crew may take to save before its number is changed."""


class Watcher(UserCallback):
    """Tells who was lost; lives in the controller.

    Args:
        post: Ray's handle of the :class:`~trainers.cluster.post.Post`.
    """

    def __init__(self, post: Any) -> None:
        self._post = post

    def after_exception(
        self, run_context: object, worker_exceptions: Mapping[int, Exception]
    ) -> None:
        """Name the reason, and not what followed from it in the other workers."""
        dead = {rank: why for rank, why in worker_exceptions.items() if _is_death(why)}
        ranks = dead or worker_exceptions
        reason = next(iter(ranks.values()), None)
        if reason:
            self._post.note.remote(CrewLost(tuple(sorted(ranks)), in_words(reason)))


class Saver(ControllerCallback):
    """Lets a crew save what it has learned before its number is changed; lives in the controller.

    Ray offers no public way to hear of a change before it happens.

    Args:
        post: Ray's handle of the :class:`~trainers.cluster.post.Post`.
    """

    def __init__(self, post: Any) -> None:
        self._post = post

    def before_controller_execute_resize_decision(self, resize_decision: object) -> None:
        """Wait until it is saved; does nothing where nobody works."""
        ray.get(self._post.pause.remote(SAVING))


def in_words(error: BaseException) -> str:
    """Why a worker was lost, in short."""
    cause = _cause(error)
    if isinstance(cause, OutOfHostMemory):
        return "its machine ran out of memory"
    if isinstance(cause, (ActorUnavailableError, NodeDiedError)):
        return "its machine does not answer"
    if isinstance(cause, (ActorDiedError, RayActorError)):
        return "its process or its machine died"
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else ''}"[:200]


def _is_death(error: BaseException) -> bool:
    return isinstance(_cause(error), (RayActorError, OutOfHostMemory, NodeDiedError))


def _cause(error: BaseException) -> BaseException:
    """What Ray Train found when it asked a worker how it is, or what was raised in one."""
    found = getattr(error, "health_check_failure", None) or error.__cause__
    return found if isinstance(found, BaseException) else error
