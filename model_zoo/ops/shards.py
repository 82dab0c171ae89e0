"""Tensors of which each process may hold a part, and those that all processes have whole.

Torch's own part takes seconds to import, so that it is imported where parts are met.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def whole(value: Tensor) -> Tensor:
    """All of a tensor, of which each process may hold a part."""
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
