"""Nodes of a Ray cluster, their free resources, and worker slots on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from model_zoo.errors import ClusterError, DeviceError, first_line
from model_zoo.option_names import option, setting, subject
from stemcli.cluster.ray_private import free_resources_by_node

Node = Mapping[str, Any]
"""A node as ``ray.nodes()`` describes it."""


@dataclass(frozen=True)
class WorkerSlot:
    """Resources for one worker on one node.

    Attributes:
        node: Ray's id of the node.
        host: name and address of the machine.
        index: of several slots on one node.
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
    """Return the slots of all nodes that are alive.

    Args:
        nodes: as ``ray.nodes()`` lists them.
        device: ``auto`` uses the GPUs of nodes that have some, ``cpu`` leaves them alone, ``cuda``
            uses GPUs only.
        jobs: workers that share the cores of a node without GPUs.
    """
    return [slot for node in nodes if node["Alive"] for slot in _slots_of(node, device, jobs)]


def host_of(node: Node) -> str:
    """Return the name and address of a node's machine, as users read it."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def check_device(device: str) -> None:
    """Refuse a device that means nothing on another machine.

    Raises:
        DeviceError: for one GPU by its number, or a kind that Ray does not know.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise DeviceError(
            f"{subject('device', device)} names a device of this machine. With {option('cluster')} "
            f"use {setting(device='auto')}, cpu or cuda"
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
    """Cores and GPUs of a node that is alive.

    Attributes:
        node: Ray's id of the node.
        host: name and address of the machine.
        cores: that it gives to the cluster.
        gpus: that it gives to the cluster.
        free_cores: that nobody uses at this moment.
        free_gpus: that nobody uses at this moment.
    """

    node: str
    host: str
    cores: int
    gpus: int
    free_cores: int
    free_gpus: int

    @property
    def is_busy(self) -> bool:
        """Whether a part of the node is in use."""
        return (self.free_cores, self.free_gpus) != (self.cores, self.gpus)


def node_resources(
    nodes: Sequence[Node], free: Mapping[str, Mapping[str, float]]
) -> tuple[NodeResources, ...]:
    """Return the resources of all nodes that are alive, in the order of their names.

    Args:
        nodes: as ``ray.nodes()`` lists them.
        free: unused resources by node id; a node that is not listed has just joined.
    """
    found = [_resources_of(node, free.get(node["NodeID"])) for node in nodes if node["Alive"]]
    return tuple(sorted(found, key=lambda node: (node.host, node.node)))


def list_nodes() -> tuple[NodeResources, ...]:
    """Return the nodes of the cluster that this process belongs to.

    Raises:
        ClusterError: the cluster no longer answers.
    """
    nodes: Any = ray.nodes
    try:
        return node_resources(nodes(), free_resources_by_node())
    except RayError as error:
        raise ClusterError(
            f"The cluster no longer answers ({first_line(error)}). "
            "Check it with ray status and run it again"
        ) from error


def _resources_of(node: Node, free: Mapping[str, float] | None) -> NodeResources:
    total = node["Resources"]
    # Ray does not list resources that are used up.
    left = total if free is None else free
    cores, gpus, free_cores, free_gpus = (
        int(resources.get(kind, 0)) for resources in (total, left) for kind in ("CPU", "GPU")
    )
    return NodeResources(node["NodeID"], host_of(node), cores, gpus, free_cores, free_gpus)
