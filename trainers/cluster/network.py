"""The network that workers talk over: the one over which Ray reaches their machines.

torch's gloo takes the address that the machine's own name stands for, which on many machines is
127.0.0.1 (Debian's /etc/hosts says so), and NCCL the first interface that it likes. Both take an
interface by name.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

import ray.util
from ray.train.backend import BackendConfig
from ray.train.constants import TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S
from ray.train.torch import TorchConfig

INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Variables that name an interface; what a user has set stays."""

PATIENCE_S = 1800
"""Seconds that a worker waits for the others: while data are decoded for the first time, or while
the first worker stores a checkpoint. Lost machines are noticed by Ray long before."""


FAREWELL_S = "5"
"""Seconds for the process group to be taken apart, before the processes are ended in any case."""


@dataclass
class Network(TorchConfig):
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
