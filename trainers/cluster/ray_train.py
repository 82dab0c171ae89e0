"""Extensions of Ray Train: the network interface of workers, and hooks of the controller."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

import ray
import ray.util
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError
from ray.exceptions import OutOfMemoryError as OutOfHostMemory
from ray.train import BackendConfig, PreemptionError
from ray.train.constants import TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S
from ray.train.torch import TorchConfig

from stemcli.cluster.ray_private import controller_callback, failure_cause
from trainers.cluster.job import WorkerGroupLost

INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Variables that name an interface; a value that the user has set stays."""

COLLECTIVE_TIMEOUT_S = 1800
"""Seconds that a worker waits for the others, e.g. while data are decoded for the first time or the
first worker stores a checkpoint. Ray notices lost machines long before."""

SHUTDOWN_TIMEOUT_S = "5"
"""Seconds to take the process group apart before the processes are ended in any case."""


@dataclass
class InterfaceTorchConfig(TorchConfig):
    """Sets up torch's process group on the network interface that Ray uses.

    gloo would take the address behind the machine's own name, often 127.0.0.1 (Debian's /etc/hosts
    says so), and NCCL the first interface that it prefers. Both accept an interface by name.
    """

    timeout_s: int = COLLECTIVE_TIMEOUT_S

    @property
    def backend_cls(self) -> type[Any]:
        """The class that Ray Train asks to set up the group."""
        return _InterfaceBackend


class _InterfaceBackend(TorchConfig().backend_cls):  # type: ignore[misc]  # its name is private
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        # A worker that lost its peer cannot leave the group in order; Ray would wait 30 s for it.
        os.environ.setdefault(TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S, SHUTDOWN_TIMEOUT_S)
        worker_group.execute(choose_interface)
        super().on_start(worker_group, backend_config)


def choose_interface() -> None:
    """Name the interface with the address by which Ray knows this machine."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    interface = interface_of(address)
    for variable in INTERFACES if interface else ():
        os.environ.setdefault(variable, interface)


def interface_of(address: str) -> str:
    """Return the interface with an IPv4 or IPv6 address; empty where there is none."""
    import psutil  # comes with Ray

    kinds = (socket.AF_INET, socket.AF_INET6)
    for name, addresses in psutil.net_if_addrs().items():
        for found in addresses:
            if found.family in kinds and found.address.partition("%")[0] == address:
                return str(name)
    return ""


SAVE_TIMEOUT_S = 600.0
"""Seconds for workers to save before their number changes; a validation may be under way, or the
first step."""


@dataclass(frozen=True)
class ControllerHooks:
    """Reports losses and lets workers save before a change; runs in Ray Train's controller.

    Attributes:
        channel: Ray's handle of the :class:`~trainers.cluster.channel.ChannelActor`.
    """

    channel: Any

    def on_restart(self, error: BaseException) -> None:
        """Report the loss; Ray starts a new group."""
        self.channel.add.remote(group_lost(error))

    def on_resize(self) -> None:
        """Wait until the workers have saved; Ray then ends them and starts another number."""
        ray.get(self.channel.pause.remote(SAVE_TIMEOUT_S))

    def on_preempt(self) -> None:
        """Let the workers save while their node is still there."""
        self.channel.pause.remote(None)

    def callback(self) -> Any:
        """Return the hooks as a callback for ``ray.train.RunConfig``.

        Raises:
            ClusterError: the installed Ray lacks a private name that this needs.
        """
        return controller_callback(self.on_restart, self.on_resize, self.on_preempt)


def group_lost(error: BaseException) -> WorkerGroupLost:
    """Say which workers were lost and why, without those that failed because of the loss."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    dead = {rank: failure for rank, failure in failures.items() if _is_death(failure)} or failures
    first = next(iter(dead.values()), error)
    return WorkerGroupLost(tuple(sorted(dead)), describe_loss(first))


def describe_loss(error: BaseException) -> str:
    """Say in a few words why a worker was lost."""
    cause = failure_cause(error)
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
    return isinstance(failure_cause(error), (RayActorError, OutOfHostMemory, NodeDiedError))
