"""How the repeated parts of a network run: faster, or in less memory.

Both take the parts one by one: blocks of one kind share compiled code, and the memory of a step is
that of one block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
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
        block.forward = partial(_recomputed, block, block.forward)


def _recomputed(block: nn.Module, forward: Any, *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(
        forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _apart(block))
    )


@contextmanager
def _apart(block: nn.Module) -> Iterator[None]:
    """Let a block write into copies of its buffers.

    What it gathers while it learns, such as the statistics of batch normalisation, it has gathered
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
