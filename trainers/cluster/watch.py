"""What Ray Train's controller tells of its workers, and is told before it changes their number.

Ray offers no public way to hear of a change before it happens, so that this is one of its own
callbacks.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError
from ray.exceptions import OutOfMemoryError as OutOfHostMemory
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.controller.state import (
    PreemptingState,
    ResizingState,
    RestartingState,
)
from ray.train.v2.api.exceptions import PreemptionError

from trainers.cluster.events import CrewLost

SAVING = 600.0
"""Seconds that a crew may take to save before its number is changed: a validation may be going on,
or its first step not yet be done."""


class Watcher(ControllerCallback):
    """Tells who was lost, and lets a crew save while it can; lives in the controller.

    Args:
        post: Ray's handle of the :class:`~trainers.cluster.post.Post`.
    """

    def __init__(self, post: Any) -> None:
        self._post = post

    def after_controller_state_update(self, previous_state: object, current_state: object) -> None:
        """Hear what becomes of the crew."""
        match current_state:
            case RestartingState():
                self._post.note.remote(loss(current_state.training_failed_error))
            case ResizingState():
                ray.get(self._post.pause.remote(SAVING))
            case PreemptingState():  # its machines are taken away soon
                self._post.pause_soon.remote()


def loss(error: BaseException) -> CrewLost:
    """Who was lost and why, without those to whom the loss of others was an error."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    dead = {rank: why for rank, why in failures.items() if _is_death(why)} or failures
    reason = next(iter(dead.values()), error)
    return CrewLost(tuple(sorted(dead)), in_words(reason))


def in_words(error: BaseException) -> str:
    """Why a worker was lost, in short."""
    cause = _cause(error)
    if isinstance(cause, PreemptionError):
        return "its machine was taken away"
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
