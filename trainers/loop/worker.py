"""Where a loop runs: the one thing it is told about its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Worker(Protocol):
    """One process of a training run.

    Attributes:
        rank: number of this process, 0 leads.
        world_size: number of processes.
        device: where the network lives.
    """

    @property
    def rank(self) -> int: ...  # noqa: D102

    @property
    def world_size(self) -> int: ...  # noqa: D102

    @property
    def device(self) -> torch.device: ...  # noqa: D102


@dataclass(frozen=True)
class LocalWorker:
    """The only process of a run on one machine."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
