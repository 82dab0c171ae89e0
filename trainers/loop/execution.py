"""Strategies of training: one device, DDP or FSDP, with compiled or checkpointed blocks.

Compilation and activation checkpointing work block by block: blocks of one kind share compiled
code, and only one block's activations are in memory during the backward pass.

Fully sharded data parallelism (Rajbhandari et al. 2020, arXiv 1910.02054, stage 3; torch's
``fully_shard``): every process keeps some rows of every parameter, of its gradient and of its
optimizer state. A block is gathered from all processes just before it runs and sharded again right
after, so that one whole block at a time is in memory. Parameters become ``DTensor`` objects with
the shape of the whole tensor. Gathering is collective: all processes must do it at the same point,
or they wait forever.

DDP and FSDP need an initialized process group (gloo for CPUs, NCCL for GPUs), whoever started the
processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint

from model_zoo.ops.tensors import full_tensor, split_like
from model_zoo.separator import Separator


def compile_blocks(model: Separator) -> None:
    """Compile each block with torch.compile when it first runs."""
    for block in model.blocks():
        block.compile(dynamic=False)


def checkpoint_blocks(model: Separator) -> None:
    """Store only the inputs of the blocks and recompute the rest in the backward pass.

    Chen et al. 2016, arXiv 1604.06174.
    """
    for block in model.blocks():
        block.forward = partial(_recomputed, block, block.forward)


def _recomputed(block: nn.Module, forward: Any, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _outside_graph(block)),
    )


@contextmanager
def _outside_graph(block: nn.Module) -> Iterator[None]:
    """Redirect a block's writes to copies of its buffers.

    The recomputation must not update running statistics, as of batch normalization, a second time.
    """
    modules = [*block.modules()]
    held = [(module, [*module.named_buffers(recurse=False)]) for module in modules]
    try:
        for module, buffers in held:
            for name, buffer in buffers:
                setattr(module, name, buffer.clone())
        yield
    finally:
        for module, buffers in held:
            for name, buffer in buffers:
                setattr(module, name, buffer)


def shard(separator: Separator, mesh: DeviceMesh) -> None:
    """Shard every parameter over the processes of ``mesh``.

    Call it before optimizers are created: parameters are replaced. The network's class becomes a
    subclass of its own, and the network can no longer be copied.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for part in (*separator.blocks(), separator):
        part.register_forward_hook(_owning)
        # The outermost module is sharded after its forward pass too, so that parameters are
        # sharded at all other times.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    # Parameters outside of the blocks are gathered for this method as well.
    register_fsdp_forward_method(separator, "forward_core")


def shard_tensors_like(
    tensors: Mapping[str, Tensor], models: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """:func:`split_like` for tensors of the same names."""
    return {name: split_like(value, models[name]) for name, value in tensors.items()}


def _owning(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Copy outputs that are views: torch's hooks would be lost on an in-place write into one."""
    return tree_map_only(Tensor, _owned, output)


def _owned(value: Tensor) -> Tensor:
    return value.clone() if value._is_view() else value


T = TypeVar("T")


@runtime_checkable
class Strategy(Protocol):
    """Devices and workers of a training loop; all workers take the same steps."""

    @property
    def device(self) -> torch.device:
        """Device of the networks."""

    @property
    def rank(self) -> int:
        """Rank of this worker; rank 0 writes files and reports."""

    @property
    def world_size(self) -> int:
        """Number of workers."""

    @property
    def saves_alone(self) -> bool:
        """Whether this worker can run and save the networks without the others.

        With sharded parameters it cannot.
        """

    def setup(self, separator: Separator) -> None:
        """Move a network, or this worker's shard of it, to the device."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that its gradients are averaged over all workers."""

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum values over all workers; every worker gets the sums."""

    def persist(self, folder: Path) -> None:
        """Copy ``folder`` to storage that outlives this machine; called on rank 0 only."""

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """The validation tracks of this worker; over all workers, each counts equally often."""

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Gather whole tensors by name in CPU memory; only rank 0 gets any.

        All workers call this at the same point, with the same names in the same order.
        """


@dataclass(frozen=True)
class SingleDevice:
    """Training in one process on one device.

    Attributes:
        device: device of the networks.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1
    saves_alone: bool = True

    def setup(self, separator: Separator) -> None:
        """Move the network to the device."""
        separator.to(self.device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network unchanged."""
        return network

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the values unchanged."""
        return dict(values)

    def persist(self, folder: Path) -> None:
        """Do nothing: the folder is on this machine already."""

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """All tracks."""
        return songs

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Copy the tensors to CPU memory."""
        return to_cpu(tensors)


def to_cpu(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Copy tensors for a file: detached, contiguous, in CPU memory."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors}


NEW, OLD = "forward_sync_buffers", "broadcast_buffers"
BUFFERS = NEW if NEW in signature(DistributedDataParallel).parameters else OLD
"""DDP's option that broadcasts buffers in every forward pass; renamed in torch 2.13."""


@dataclass(frozen=True)
class DDPStrategy:
    """Distributed data parallel: every process holds the whole network.

    Attributes:
        device: device of the networks.
        rank: rank of this process.
        world_size: number of processes.
    """

    device: torch.device
    rank: int
    world_size: int

    @property
    def saves_alone(self) -> bool:
        """Every process has the whole network."""
        return True

    def setup(self, separator: Separator) -> None:
        """Move the network to the device."""
        separator.to(self.device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap a network in DistributedDataParallel.

        Buffers are not broadcast: every process computes the same ones, and broadcasting breaks
        spectral norms (https://github.com/pytorch/pytorch/issues/175024).
        """
        options: dict[str, Any] = {BUFFERS: False}
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        return DistributedDataParallel(network, **options)

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum values in float64; all processes pass the same names in the same order."""
        sums = torch.tensor([*values.values()], dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return dict(zip(values, sums.tolist(), strict=True))

    def persist(self, folder: Path) -> None:
        """Do nothing: the folder is on this machine already."""

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """Every ``world_size``-th track."""
        return songs[self.rank :: self.world_size]

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Rank 0 has all tensors; nothing is communicated."""
        return to_cpu(tensors) if self.rank == 0 else {}


@dataclass(frozen=True)
class FSDPStrategy(DDPStrategy):
    """Fully sharded data parallel: every process holds a shard of the separator.

    For networks that do not fit on one device. Discriminators are not sharded.
    """

    @property
    def saves_alone(self) -> bool:
        """A shard cannot run without the others."""
        return False

    @cached_property
    def mesh(self) -> DeviceMesh:
        """One-dimensional mesh of all processes."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        return init_device_mesh(self.device.type, (self.world_size,))

    def setup(self, separator: Separator) -> None:
        """Shard the network block by block and move this process's shard to the device."""
        shard(separator, self.mesh)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return sharded networks unchanged (FSDP reduces their gradients); wrap others in DDP."""
        is_sharded = any(isinstance(part, FSDPModule) for part in network.modules())
        return network if is_sharded else super().wrap(network)

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """All tracks: the processes run every chunk together."""
        return songs

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Gather one tensor at a time, so that the device never holds two whole ones."""
        kept: dict[str, Tensor] = {}
        for name, value in tensors:
            if self.rank == 0:
                kept |= to_cpu([(name, full_tensor(value.detach()))])
            else:
                full_tensor(value.detach())
        return kept
