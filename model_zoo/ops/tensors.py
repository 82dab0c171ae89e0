"""Float32 regions, rotary position embedding, and tensors that are sharded over processes.

Su et al. 2021 (arXiv 2104.09864), equation 34.

Torch's own part takes seconds to import, so that it is imported where parts are met.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Nothing inside computes in less than the precision that its inputs have, on the device of x.

    The device "meta", which only knows shapes, has no other precision to begin with.
    """
    kind = x.device.type
    return (
        torch.autocast(kind, enabled=False)
        if torch.amp.is_autocast_available(kind)
        else nullcontext()
    )


def rotate_pairs(
    x: Float[Tensor, "*batch token feature"],
    cos: Float[Tensor, "token pair"],
    sin: Float[Tensor, "token pair"],
) -> Float[Tensor, "*batch token feature"]:
    """Turn each pair of features (2i, 2i+1) of each token by its own angle.

    Args:
        x: an even number of features.
        cos: of the angles.
        sin: of the angles.
    """
    even, odd = torch.unflatten(x, -1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2)


def ceil_div(count: int, size: int) -> int:
    """How many times ``size`` covers ``count``; in exported networks too.

    They divide towards zero, so that the usual ``-(-count // size)`` is 1 less there.
    """
    return (count + size - 1) // size


def full_tensor(value: Tensor) -> Tensor:
    """The full tensor, of which each process may hold a shard (DTensor)."""
    full: Callable[[], Tensor] | None = getattr(value, "full_tensor", None)
    return full() if full else value


def split_like(value: Tensor, model: Tensor) -> Tensor:
    """The part of ``value`` that this process holds of ``model``, a tensor of the same shape.

    All processes have ``value``, so that nothing is sent.
    """
    if not hasattr(model, "full_tensor"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(model, DTensor), "nothing else can be put together"
    return distribute_tensor(value, model.device_mesh, model.placements, src_data_rank=None)
