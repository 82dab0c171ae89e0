"""Networks of which each process holds a part.

Fully sharded data parallelism (Rajbhandari et al. 2020, arXiv 1910.02054, stage 3; torch's
``fully_shard``): every process keeps some rows of every parameter, of its gradient and of what the
optimiser remembers of it. A block is put together from all processes just before it runs and taken
apart again right after, so that the memory of a step is that of one whole block at a time.

Parameters become tensors of type ``DTensor``, whose shape is that of the whole. Whatever puts them
together is done by all processes at once, or it waits for ever.

Torch's own part takes seconds to import, so that it is imported where parts are met.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from model_zoo.ops.shards import split_like
from model_zoo.separator import Separator

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh


def shard(separator: Separator, mesh: DeviceMesh) -> None:
    """Leave this process its part of every parameter, on the device of ``mesh``.

    Call it before optimisers are made: parameters are replaced. The class of the network changes to
    one that is derived from it. It can be copied no more.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for part in (*separator.blocks(), separator):
        part.register_forward_hook(_owning)
        # Even the outermost part is taken apart at once, so that weights always are what they
        # seem: parts of a whole.
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
    # The parts of the network outside of its blocks are put together for this as well.
    register_fsdp_forward_method(separator, "through_core")


def all_split_like(
    tensors: Mapping[str, Tensor], models: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """:func:`split_like` for tensors of the same names."""
    return {name: split_like(value, models[name]) for name, value in tensors.items()}


def _owning(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Outputs that are no views: a hook of torch would be lost if someone wrote into one."""
    return tree_map_only(Tensor, _owned, output)


def _owned(value: Tensor) -> Tensor:
    return value.clone() if value._is_view() else value
