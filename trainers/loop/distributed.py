"""Workers in processes of their own, which torch.distributed joins.

They need a process group that somebody has initialised (gloo for processors, NCCL for GPUs) and
know nothing of who started the processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from model_zoo.ops.shards import whole
from model_zoo.separator import Separator
from trainers.loop.sharding import shard
from trainers.loop.worker import on_processor

T = TypeVar("T")

NEW, OLD = "forward_sync_buffers", "broadcast_buffers"
BUFFERS = NEW if NEW in signature(DistributedDataParallel).parameters else OLD
"""Whether buffers are sent in every forward pass, by the name that this torch wants (2.13)."""


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

    @property
    def is_independent(self) -> bool:
        """Each has all of the network."""
        return True

    def place(self, separator: Separator) -> None:
        """Bring all of the network to the device."""
        separator.to(self.device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients that are means over all processes.

        Buffers are not sent around in steps: every process computes the same ones, and spectral
        norms would not survive it (https://github.com/pytorch/pytorch/issues/175024).
        """
        options: dict[str, Any] = {BUFFERS: False}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        return DistributedDataParallel(network, **options)

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums in float64, in the order of names that all processes share."""
        sums = torch.tensor([*values.values()], dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return dict(zip(values, sums.tolist(), strict=True))

    def keep(self, folder: Path) -> None:
        """It lies where it shall be."""

    def share(self, songs: Sequence[T]) -> Sequence[T]:
        """Every ``world_size``-th song."""
        return songs[self.rank :: self.world_size]

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The first has them all; nothing is sent."""
        return on_processor(tensors) if self.rank == 0 else {}


@dataclass(frozen=True)
class ShardedWorker(DistributedWorker):
    """One of several processes that hold a network together, each a part of it.

    So trains what is larger than one device. Discriminators are whole in each process.
    """

    @property
    def is_independent(self) -> bool:
        """A part of a network does not run."""
        return False

    @cached_property
    def mesh(self) -> DeviceMesh:
        """All processes in a row."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        return init_device_mesh(self.device.type, (self.world_size,))

    def place(self, separator: Separator) -> None:
        """Bring this process's part of every parameter to the device, block by block."""
        shard(separator, self.mesh)

    def wrap(self, network: nn.Module) -> nn.Module:
        """What is sharded sees to its gradients itself, also behind a view of it."""
        is_sharded = any(isinstance(part, FSDPModule) for part in network.modules())
        return network if is_sharded else super().wrap(network)

    def share(self, songs: Sequence[T]) -> Sequence[T]:
        """All of them: the processes hear every chunk together, since none has the network."""
        return songs

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Put together one tensor after the other; the device never holds two."""
        kept: dict[str, Tensor] = {}
        for name, value in tensors:
            if self.rank == 0:
                kept |= on_processor([(name, whole(value.detach()))])
            else:
                whole(value.detach())
        return kept
