"""How many trials fit on a cluster at once, and what each of them gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_zoo.errors import DeviceError
from stemcli.batch.slots import Node, find_slots

CORES = 4
"""Of a trial where there are enough: more speed up small networks little."""

FEWEST = 2
"""Trials that share a machine without GPUs, if it has so many cores."""


@dataclass(frozen=True)
class Room:
    """Room for trials.

    Attributes:
        at_once: how many.
        cores: of each.
        gpus: of each, 0 or 1.
    """

    at_once: int
    cores: int
    gpus: int


def find_room(nodes: Sequence[Node], device: str, jobs: int, trials: int) -> Room:
    """One trial on each GPU; where there is none, a fair share of the cores for each.

    Args:
        nodes: machines, as ``ray.nodes()`` describes them.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: trials that share the cores of a machine; 0 chooses.
        trials: how many there are to run.

    Raises:
        DeviceError: GPUs are asked for, and there is none.
    """
    alive = [node for node in nodes if node["Alive"]]
    has_gpus = any(int(node["Resources"].get("GPU", 0)) for node in alive)
    if device == "cuda" and not has_gpus:
        raise DeviceError("Ray finds no GPU. Type --device auto or --device cpu")
    kind = "cuda" if has_gpus and device != "cpu" else "cpu"
    most = max(int(node["Resources"].get("CPU", 0)) for node in alive)
    share = jobs or (1 if device == "mps" else max(FEWEST, most // CORES))
    share = min(share, -(-trials // len(alive)))
    slots = find_slots(nodes, kind, max(1, share))
    cores = min((slot.cores for slot in slots), default=1)
    return Room(max(1, min(len(slots), trials)), max(1, cores), int(kind == "cuda"))
