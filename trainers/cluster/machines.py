"""The machines of a cluster, and what of them is free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray._private.state import available_resources_per_node
from ray.exceptions import RayError

from model_zoo.errors import ClusterError, first_line
from stemcli.batch.slots import Node, host_of


@dataclass(frozen=True)
class Machine:
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
) -> tuple[Machine, ...]:
    """The machines that are alive, in the order of their names.

    Args:
        nodes: as ``ray.nodes()`` lists them.
        free: what each has left, by its node; one that is not listed has just come.
    """
    found = [_machine(node, free.get(node["NodeID"])) for node in nodes if node["Alive"]]
    return tuple(sorted(found, key=lambda machine: (machine.host, machine.node)))


def look_around() -> tuple[Machine, ...]:
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
            "Check it with ray status and type the same again"
        ) from error


def _machine(node: Node, free: Mapping[str, float] | None) -> Machine:
    whole = node["Resources"]
    # What is used up is not listed any more.
    left = whole if free is None else free
    cores, gpus, free_cores, free_gpus = (
        int(resources.get(kind, 0)) for resources in (whole, left) for kind in ("CPU", "GPU")
    )
    return Machine(node["NodeID"], host_of(node), cores, gpus, free_cores, free_gpus)
