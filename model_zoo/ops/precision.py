"""Where half precision would be too coarse."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
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
