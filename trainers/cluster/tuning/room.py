"""How many trials fit on a cluster at once, and what each of them gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_zoo.errors import ClusterError, DeviceError
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
        cores: of each worker of each.
        gpus: of each worker, 0 or 1.
        workers: of each trial.
    """

    at_once: int
    cores: int
    gpus: int
    workers: int = 1

    @property
    def resources(self) -> dict[str, float]:
        """What Ray Tune keeps free for a trial; workers of its own find their room themselves."""
        if self.workers > 1:
            return {"cpu": 0, "memory": 1}  # a byte: Ray wants something
        return {"cpu": self.cores, "gpu": self.gpus}


def find_room(nodes: Sequence[Node], device: str, jobs: int, trials: int, workers: int = 1) -> Room:
    """One worker on each GPU; where there is none, a fair share of the cores for each.

    Args:
        nodes: machines, as ``ray.nodes()`` describes them.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: workers that share the cores of a machine; 0 chooses.
        trials: how many there are to run.
        workers: of each trial.

    Raises:
        DeviceError: GPUs are asked for, and there is none.
        ClusterError: there is no room for the workers of one trial.
    """
    # Heads often give no cores.
    alive = [node for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    has_gpus = any(int(node["Resources"].get("GPU", 0)) for node in alive)
    if device == "cuda" and not has_gpus:
        raise DeviceError("Ray finds no GPU. Type --device auto or --device cpu")
    kind = "cuda" if has_gpus and device != "cpu" else "cpu"
    most = max((int(node["Resources"]["CPU"]) for node in alive), default=1)
    share = jobs or (1 if device == "mps" else max(FEWEST, most // CORES))
    share = min(share, -(-trials * workers // max(1, len(alive))))
    slots = find_slots(nodes, kind, max(1, share))
    cores = min((slot.cores for slot in slots), default=1)
    at_once = min(len(slots) // workers, trials)
    if workers > 1 and not at_once:
        raise ClusterError(
            f"There is room for {len(slots)} workers, and a trial has {workers}. Type --workers "
            f"{max(1, len(slots))}, or a larger --jobs where machines have more cores"
        )
    return Room(max(1, at_once), max(1, cores), int(kind == "cuda"), workers)
