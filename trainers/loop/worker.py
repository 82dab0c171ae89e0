"""Where a loop runs: the one thing it is told about its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class Worker(Protocol):
    """One process of a training run.

    Attributes:
        rank: number of this process, 0 leads.
        world_size: number of processes.
        device: where the network lives.
    """

    rank: int
    world_size: int
    device: torch.device


@dataclass(frozen=True)
class LocalWorker:
    """The only process of a run on one machine."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
