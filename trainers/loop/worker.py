"""Where a loop runs: the one thing it is told about its surroundings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import nn


@runtime_checkable
class Worker(Protocol):
    """The process that a training loop runs in, one of ``world_size`` that take the same steps."""

    @property
    def device(self) -> torch.device:
        """Where the network lives."""

    @property
    def rank(self) -> int:
        """Number of this worker; the first writes and reports."""

    @property
    def world_size(self) -> int:
        """How many workers there are."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients that are means over all workers."""

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over all workers; every worker gets them."""

    def keep(self, folder: Path) -> None:
        """Let what lies in ``folder`` outlive this machine; asked of the first worker alone."""


@dataclass(frozen=True)
class LocalWorker:
    """The only process of a run on one machine.

    Attributes:
        device: where the network lives.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """The values as they are."""
        return dict(values)

    def keep(self, folder: Path) -> None:
        """It lies where it shall be."""
