"""How the repeated parts of a network run: faster, or in less memory.

Both take the parts one by one: blocks of one kind share compiled code, and the memory of a step is
that of one block at a time.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from model_zoo.separator import Separator


def compile_blocks(model: Separator) -> None:
    """Compile the blocks (torch.compile) when they are first used."""
    for block in model.blocks():
        block.compile(dynamic=False)


def recompute_blocks(model: Separator) -> None:
    """Keep only the inputs of the blocks, and compute the rest again for the gradient.

    Chen et al. 2016, arXiv 1604.06174.
    """
    for block in model.blocks():
        block.forward = partial(_recomputed, block.forward)


def _recomputed(forward: Any, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False)
