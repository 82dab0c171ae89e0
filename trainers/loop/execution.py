"""Where a training loop runs: one device, DDP or FSDP, with compiled or checkpointed blocks.

Both take the parts one by one: blocks of one kind share compiled code, and the memory of a step is
that of one block at a time.

Fully sharded data parallelism (Rajbhandari et al. 2020, arXiv 1910.02054, stage 3; torch's
``fully_shard``): every process keeps some rows of every parameter, of its gradient and of what the
optimizer remembers of it. A block is put together from all processes just before it runs and taken
apart again right after, so that the memory of a step is that of one whole block at a time.

Parameters become tensors of type ``DTensor``, whose shape is that of the whole. Whatever puts them
together is done by all processes at once, or it waits for ever.

Torch's own part takes seconds to import, so that it is imported where parts are met.

They need a process group that somebody has initialised (gloo for processors, NCCL for GPUs) and
know nothing of who started the processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint

from model_zoo.ops.tensors import split_like, whole
from model_zoo.separator import Separator

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def compile_blocks(model: Separator) -> None:
    """Compile the blocks (torch.compile) when they are first used."""
    for block in model.blocks():
        block.compile(dynamic=False)


def checkpoint_blocks(model: Separator) -> None:
    """Keep only the inputs of the blocks, and compute the rest again for the gradient.

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
    """Let a block write into copies of its buffers.

    What it gathers while it learns, such as the statistics of batch normalization, it has gathered
    the first time.
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
    """Leave this process its part of every parameter, on the device of ``mesh``.

    Call it before optimizers are made: parameters are replaced. The class of the network changes to
    one that is derived from it. It can be copied no more.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for part in (*separator.blocks(), separator):
        part.register_forward_hook(_owning)
        # Even the outermost part is taken apart at once, so that weights always are what they
        # seem: parts of a whole.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    # The parts of the network outside of its blocks are put together for this as well.
    register_fsdp_forward_method(separator, "forward_core")


def shard_tensors_like(
    tensors: Mapping[str, Tensor], models: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """:func:`split_like` for tensors of the same names."""
    return {name: split_like(value, models[name]) for name, value in tensors.items()}


def _owning(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Outputs that are no views: a hook of torch would be lost if someone wrote into one."""
    return tree_map_only(Tensor, _owned, output)


def _owned(value: Tensor) -> Tensor:
    return value.clone() if value._is_view() else value


T = TypeVar("T")


@runtime_checkable
class Strategy(Protocol):
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

    @property
    def saves_alone(self) -> bool:
        """Whether it can run and save the networks without the others.

        It cannot where each worker holds a part of them: then all must run them together.
        """

    def setup(self, separator: Separator) -> None:
        """Bring a network to the device, or as much of it as this worker holds."""

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with gradients that are means over all workers."""

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over all workers; every worker gets them."""

    def persist(self, folder: Path) -> None:
        """Let what lies in ``folder`` outlive this machine; asked of the first worker alone."""

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """The songs that this worker is judged by; each counts as often as every other."""

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Whole tensors by name, on the processor; only the first worker gets any.

        All workers call it at the same point, with the same names in the same order.
        """


@dataclass(frozen=True)
class SingleDevice:
    """The only process of a run on one machine.

    Attributes:
        device: where the network lives.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1
    saves_alone: bool = True

    def setup(self, separator: Separator) -> None:
        """Bring all of the network to the device."""
        separator.to(self.device)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        """The values as they are."""
        return dict(values)

    def persist(self, folder: Path) -> None:
        """It lies where it shall be."""

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """All of them."""
        return songs

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors, on the processor."""
        return to_cpu(tensors)


def to_cpu(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors as files take them: without a gradient, contiguous, on the processor."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors}


NEW, OLD = "forward_sync_buffers", "broadcast_buffers"
BUFFERS = NEW if NEW in signature(DistributedDataParallel).parameters else OLD
"""Whether buffers are sent in every forward pass, by the name that this torch wants (2.13)."""


@dataclass(frozen=True)
class DDPStrategy:
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
    def saves_alone(self) -> bool:
        """Each has all of the network."""
        return True

    def setup(self, separator: Separator) -> None:
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

    def all_reduce(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums in float64, in the order of names that all processes share."""
        sums = torch.tensor([*values.values()], dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return dict(zip(values, sums.tolist(), strict=True))

    def persist(self, folder: Path) -> None:
        """It lies where it shall be."""

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """Every ``world_size``-th song."""
        return songs[self.rank :: self.world_size]

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The first has them all; nothing is sent."""
        return to_cpu(tensors) if self.rank == 0 else {}


@dataclass(frozen=True)
class FSDPStrategy(DDPStrategy):
    """One of several processes that hold a network together, each a part of it.

    So trains what is larger than one device. Discriminators are whole in each process.
    """

    @property
    def saves_alone(self) -> bool:
        """A part of a network does not run."""
        return False

    @cached_property
    def mesh(self) -> DeviceMesh:
        """All processes in a row."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        return init_device_mesh(self.device.type, (self.world_size,))

    def setup(self, separator: Separator) -> None:
        """Bring this process's part of every parameter to the device, block by block."""
        shard(separator, self.mesh)

    def wrap(self, network: nn.Module) -> nn.Module:
        """What is sharded sees to its gradients itself, also behind a view of it."""
        is_sharded = any(isinstance(part, FSDPModule) for part in network.modules())
        return network if is_sharded else super().wrap(network)

    def shard(self, songs: Sequence[T]) -> Sequence[T]:
        """All of them: the processes hear every chunk together, since none has the network."""
        return songs

    def gather(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Put together one tensor after the other; the device never holds two."""
        kept: dict[str, Tensor] = {}
        for name, value in tensors:
            if self.rank == 0:
                kept |= to_cpu([(name, whole(value.detach()))])
            else:
                whole(value.detach())
        return kept
