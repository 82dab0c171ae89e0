"""Extension points of Ray Train: the network interface of workers and hooks of the controller.

torch's gloo takes the address that the machine's own name stands for, which on many machines is
127.0.0.1 (Debian's /etc/hosts says so), and NCCL the first interface that it likes. Both take an
interface by name.

Ray offers no public way to hear of a change before it happens, so that this is one of its own
callbacks.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

import ray
import ray.util
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError
from ray.exceptions import OutOfMemoryError as OutOfHostMemory
from ray.train.backend import BackendConfig
from ray.train.constants import TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S
from ray.train.torch import TorchConfig
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.controller.state import (
    PreemptingState,
    ResizingState,
    RestartingState,
)
from ray.train.v2.api.exceptions import PreemptionError

from trainers.cluster.job import WorkerGroupLost

INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Variables that name an interface; what a user has set stays."""

PATIENCE_S = 1800
"""Seconds that a worker waits for the others: while data are decoded for the first time, or while
the first worker stores a checkpoint. Lost machines are noticed by Ray long before."""


FAREWELL_S = "5"
"""Seconds for the process group to be taken apart, before the processes are ended in any case."""


@dataclass
class InterfaceTorchConfig(TorchConfig):
    """Ray's process group of torch, over Ray's own network."""

    timeout_s: int = PATIENCE_S

    @property
    def backend_cls(self) -> type[Any]:
        """What Ray asks for."""
        return _Backend


class _Backend(TorchConfig().backend_cls):  # type: ignore[misc]  # Ray names this class nowhere
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        # Workers that lost another one will not take leave of it; Ray would wait half a minute.
        os.environ.setdefault(TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S, FAREWELL_S)
        worker_group.execute(choose_interface)
        super().on_start(worker_group, backend_config)


def choose_interface() -> None:
    """Name the interface that has the address by which Ray knows this machine."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    own = interface_of(address)
    for variable in INTERFACES if own else ():
        os.environ.setdefault(variable, own)


def interface_of(address: str) -> str:
    """The interface with an IPv4 or IPv6 address; empty where there is none."""
    import psutil  # Ray brings it

    kinds = (socket.AF_INET, socket.AF_INET6)
    for name, addresses in psutil.net_if_addrs().items():
        for found in addresses:
            if found.family in kinds and found.address.partition("%")[0] == address:
                return str(name)
    return ""


SAVING = 600.0
"""Seconds that a crew may take to save before its number is changed: a validation may be going on,
or its first step not yet be done."""


class ControllerHooks(ControllerCallback):
    """Tells who was lost, and lets a crew save while it can; lives in the controller.

    Args:
        post: Ray's handle of the :class:`~trainers.cluster.channel.ChannelActor`.
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


def loss(error: BaseException) -> WorkerGroupLost:
    """Who was lost and why, without those to whom the loss of others was an error."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    dead = {rank: why for rank, why in failures.items() if _is_death(why)} or failures
    reason = next(iter(dead.values()), error)
    return WorkerGroupLost(tuple(sorted(dead)), in_words(reason))


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
