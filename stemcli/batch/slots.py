"""Where on a Ray cluster workers fit: one on each GPU, or on each share of a machine's cores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_zoo.errors import DeviceError

Node = Mapping[str, Any]
"""As ``ray.nodes()`` describes a machine."""


@dataclass(frozen=True)
class Slot:
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


def find_slots(nodes: Sequence[Node], device: str, jobs: int) -> list[Slot]:
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


def _slots_of(node: Node, device: str, jobs: int) -> Iterator[Slot]:
    cores, gpus = (int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU"))
    wants_gpus = device == "cuda" or (device == "auto" and gpus > 0)
    count = gpus if wants_gpus else min(jobs, cores)
    host = host_of(node)
    for index in range(count):
        yield Slot(node["NodeID"], host, index, cores // count, int(wants_gpus))
