"""Nodes of a Ray cluster, their free resources, and worker slots on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray._private.state import available_resources_per_node
from ray.exceptions import RayError

from model_zoo.errors import ClusterError, DeviceError, first_line

Node = Mapping[str, Any]
"""As ``ray.nodes()`` describes a machine."""


@dataclass(frozen=True)
class WorkerSlot:
    """Room for one worker.

    Attributes:
        node: Ray's name of the machine.
        host: the machine's own name and address.
        index: of several on one machine.
        cores: that the worker takes.
        gpus: that it takes, 0 or 1.
    """

    node: str
    host: str
    index: int
    cores: int
    gpus: int

    @property
    def name(self) -> str:
        """What users read."""
        return self.host if self.index == 0 else f"{self.host} #{self.index + 1}"


def find_slots(nodes: Sequence[Node], device: str, jobs: int) -> list[WorkerSlot]:
    """The slots of all machines that are alive.

    Args:
        nodes: the machines.
        device: ``auto`` takes the GPUs of machines that have some, ``cpu`` leaves them alone,
            ``cuda`` wants nothing else.
        jobs: workers that share the cores of a machine without GPUs.
    """
    return [slot for node in nodes if node["Alive"] for slot in _slots_of(node, device, jobs)]


def host_of(node: Node) -> str:
    """The machine's own name and address, as users read it."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def check_device(device: str) -> None:
    """Refuse a device that means nothing on another machine.

    Raises:
        DeviceError: for one GPU by its number, or a GPU that Ray does not know.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(
            f"--device {device} names a device of this machine. With --cluster type --device auto, "
            "cpu or cuda"
        )


def _slots_of(node: Node, device: str, jobs: int) -> Iterator[WorkerSlot]:
    cores, gpus = (int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU"))
    wants_gpus = device == "cuda" or (device == "auto" and gpus > 0)
    count = gpus if wants_gpus else min(jobs, cores)
    host = host_of(node)
    for index in range(count):
        yield WorkerSlot(node["NodeID"], host, index, cores // count, int(wants_gpus))


@dataclass(frozen=True)
class NodeResources:
    """One that is alive.

    Attributes:
        node: Ray's name of it.
        host: its own name and address.
        cores: that it gave to the cluster.
        gpus: likewise.
        free_cores: that nobody uses at this moment.
        free_gpus: likewise.
    """

    node: str
    host: str
    cores: int
    gpus: int
    free_cores: int
    free_gpus: int

    @property
    def is_busy(self) -> bool:
        """Whether somebody uses a part of it."""
        return (self.free_cores, self.free_gpus) != (self.cores, self.gpus)


def find_machines(
    nodes: Sequence[Node], free: Mapping[str, Mapping[str, float]]
) -> tuple[NodeResources, ...]:
    """The machines that are alive, in the order of their names.

    Args:
        nodes: as ``ray.nodes()`` lists them.
        free: what each has left, by its node; one that is not listed has just come.
    """
    found = [_machine(node, free.get(node["NodeID"])) for node in nodes if node["Alive"]]
    return tuple(sorted(found, key=lambda machine: (machine.host, machine.node)))


def list_nodes() -> tuple[NodeResources, ...]:
    """The machines of the cluster that this process belongs to.

    Raises:
        ClusterError: the cluster does not answer any more.
    """
    nodes: Any = ray.nodes
    free: Any = available_resources_per_node  # the public function adds all machines up
    try:
        return find_machines(nodes(), free())
    except RayError as error:
        raise ClusterError(
            f"The cluster does not answer any more ({first_line(error)}). "
            "Check it with ray status and run it again"
        ) from error


def _machine(node: Node, free: Mapping[str, float] | None) -> NodeResources:
    whole = node["Resources"]
    # What is used up is not listed any more.
    left = whole if free is None else free
    cores, gpus, free_cores, free_gpus = (
        int(resources.get(kind, 0)) for resources in (whole, left) for kind in ("CPU", "GPU")
    )
    return NodeResources(node["NodeID"], host_of(node), cores, gpus, free_cores, free_gpus)
