"""Where a loop runs: the one thing it is told about its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Worker(Protocol):
    """The process that a training loop runs in."""

    @property
    def device(self) -> torch.device:
        """Where the network lives."""


@dataclass(frozen=True)
class LocalWorker:
    """The only process of a run on one machine.

    Attributes:
        device: where the network lives.
    """

    device: torch.device
