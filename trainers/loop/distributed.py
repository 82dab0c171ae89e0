"""Workers in processes of their own, which torch.distributed joins.

They need a process group that somebody has initialised (gloo for processors, NCCL for GPUs) and
know nothing of who started the processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class DistributedWorker:
    """One of several processes that each hold the whole network.

    Attributes:
        device: where the network lives.
        rank: number of this process.
        world_size: how many processes there are.
    """

    device: torch.device
    rank: int
    world_size: int

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients that are means over all processes.

        Buffers are not sent around: every process computes the same ones, and spectral norms would
        not survive it (https://github.com/pytorch/pytorch/issues/175024).
        """
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums in float64, in the order of names that all processes share."""
        sums = torch.tensor([*values.values()], dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return dict(zip(values, sums.tolist(), strict=True))

    def keep(self, folder: Path) -> None:
        """It lies where it shall be."""
