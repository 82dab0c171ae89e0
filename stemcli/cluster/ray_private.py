"""Every private name of Ray that this project uses, each behind a function or constant of ours.

A private name may move or vanish in any release of Ray. Tested were the first and the last version
in :data:`TESTED`, the range that pyproject.toml asks for. Another version is used as long as it has
the names; where one is missing, :class:`~model_zoo.errors.ClusterError` says so when it is needed,
because the imports stand inside the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from model_zoo.errors import ClusterError, first_line
from model_zoo.shell import quoted

TESTED = ("2.58.0", "2.60.0")
"""First and last version of Ray with which the tests on Ray were run."""

START_TIMEOUT_VARIABLE = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
"""Environment variable: seconds that Ray Train waits until all workers of a group have started."""


@contextmanager
def _required() -> Iterator[None]:
    """Turn a missing name into one sentence.

    Raises:
        ClusterError: the installed Ray does not have the name.
    """
    try:
        yield
    except (ImportError, AttributeError) as error:
        import ray

        first, last = TESTED
        install = f"pip install {quoted(f'ray[train,tune]=={last}')}"
        raise ClusterError(
            f"Ray {ray.__version__} lacks a part that stem needs ({first_line(error)}). Stem was "
            f"tested with Ray {first} to {last}. Try: {install}"
        ) from error


def resolve_address(address: str) -> str:
    """Return ``HOST:PORT`` for an address without a port, such as ``auto``.

    Raises:
        ClusterError: the installed Ray lacks the private name behind this.
        ConnectionError: no cluster, or more than one, runs on this machine.
        ValueError: the address is malformed.
    """
    with _required():
        from ray._private.services import canonicalize_bootstrap_address_or_die
    return canonicalize_bootstrap_address_or_die(address)


def free_resources_by_node() -> dict[str, dict[str, float]]:
    """Return the resources that nobody uses, by node id; Ray's public function adds them up.

    Raises:
        ClusterError: the installed Ray lacks the private name behind this.
    """
    with _required():
        from ray._private import state

        found: Callable[[], Any] = state.available_resources_per_node
    return found()


@contextmanager
def loopback_only() -> Iterator[None]:
    """Let Ray use 127.0.0.1 as the address of this machine.

    The environment variable ``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0`` says the same to processes that
    start; this process read it when Ray was imported.

    Raises:
        ClusterError: the installed Ray lacks the private name behind this.
    """
    with _required():
        from ray._private import ray_constants

        constants: Any = ray_constants
        before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def reload_token() -> None:
    """Let Ray read the authentication mode and token again, which it does once per process.

    Raises:
        ClusterError: the installed Ray lacks the private names behind this.
    """
    with _required():
        import ray._raylet

        raylet: Any = ray._raylet  # compiled, without types
        configure, loader = raylet.Config.initialize, raylet.AuthenticationTokenLoader
    configure("")
    loader.instance().reset_cache()


def controller_callback(
    on_restart: Callable[[Exception], None],
    on_resize: Callable[[], None],
    on_preempt: Callable[[], None],
) -> Any:
    """Make a callback for ``ray.train.RunConfig(callbacks=...)`` that runs in the controller.

    Ray's public ``UserCallback`` has no hook before a worker group is resized or preempted.

    Args:
        on_restart: called with the reason when a worker group is lost, before the next one starts.
        on_resize: called while the workers still run; they are ended once it returns.
        on_preempt: called when a node is about to be taken away.

    Raises:
        ClusterError: the installed Ray lacks the private names behind this.
    """
    with _required():
        from ray.train.v2._internal.execution.callback import ControllerCallback
        from ray.train.v2._internal.execution.controller.state import (
            PreemptingState,
            ResizingState,
            RestartingState,
        )

    class StateCallback(ControllerCallback):
        def after_controller_state_update(
            self, previous_state: object, current_state: object
        ) -> None:
            match current_state:
                case RestartingState():
                    on_restart(current_state.training_failed_error)
                case ResizingState():
                    on_resize()
                case PreemptingState():
                    on_preempt()

    return StateCallback()


def failure_cause(error: BaseException) -> BaseException:
    """Return what Ray Train found when it checked a worker, or what was raised in the worker."""
    cause = getattr(error, "health_check_failure", None) or error.__cause__
    return cause if isinstance(cause, BaseException) else error
