"""What a network attends to, as pictures.

Attention is computed without its weights ever being made, so they are computed once more, and only
while somebody looks: see :func:`record_attention`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.blocks.attention import Attention

SEQUENCES = 32
"""Sequences (frames or bands) that a map is the mean of, evenly spread over all there are, or over
the first part where attention is computed in parts."""

LARGEST = 128
"""Rows and columns of a map at most; larger ones are averaged down."""

TIMES = 10
"""How much more than its equal share a token must get to be shown as 1, and how much less as 0."""

SHARES = {0.0: f"1/{TIMES} or less", 0.5: "equal share", 1.0: f"{TIMES} times or more"}
"""What the numbers of a map mean."""

NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
"""A number that is a whole part of a layer's name."""

Maps = dict[str, Float[np.ndarray, "query key"]]


@contextmanager
def record_attention(network: nn.Module) -> Iterator[Maps]:
    """Maps of the first, the middle and the last attention of every kind in ``network``.

    Inside the block, the first time that the network runs fills the mapping: name of a layer to
    weights ``query key``, averaged over heads and :data:`SEQUENCES` and made at most
    :data:`LARGEST` wide. A number of a map is the logarithm of how many times its equal share a
    token gets: 0 for a tenth or less, 0.5 for just that share, 1 for ten times or more. So maps of
    all layers and steps compare. A network without attention leaves the mapping empty.
    """
    maps: Maps = {}
    hooks = [
        module.register_forward_hook(_keeper(maps, name), with_kwargs=True)
        for name, module in _chosen(network).items()
    ]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _chosen(network: nn.Module) -> dict[str, Attention]:
    """Layers by short name; those whose names differ in numbers of layers only are of one kind."""
    kinds: dict[str, dict[str, Attention]] = {}
    for name, module in network.named_modules():
        if isinstance(module, Attention):
            kind = NUMBER.sub("#", name)
            kinds.setdefault(kind, {})[name.removesuffix(".att")] = module
    return {
        name: layers[name] for layers in kinds.values() for name in _first_middle_last([*layers])
    }


def _first_middle_last(names: list[str]) -> list[str]:
    last = len(names) - 1
    return [names[index] for index in sorted({0, last // 2, last})]


def _keeper(maps: Maps, name: str) -> Any:
    """A hook that keeps the map of the first run."""

    def keep(module: Attention, inputs: tuple[Any, ...], options: dict[str, Any], _: Any) -> None:
        if name not in maps:
            maps[name] = _map(module, inputs, options)

    return keep


@torch.no_grad()
def _map(
    module: Attention, inputs: tuple[Any, ...], options: dict[str, Any]
) -> Float[np.ndarray, "query key"]:
    """One sequence after the other: all at once would need more memory than the network."""
    x = inputs[0]
    count = min(SEQUENCES, len(x))
    spread = torch.linspace(0, len(x) - 1, count).round().long().tolist()
    maps = [_weights_of(module, index, inputs, options).mean((0, 1)) for index in spread]
    mean = torch.stack(maps).float().mean(0)
    size = min(LARGEST, mean.shape[0]), min(LARGEST, mean.shape[1])
    shares = F.adaptive_avg_pool2d(mean[None], size)[0] * mean.shape[1]
    scaled = shares.clamp_min(1e-12).log() / math.log(TIMES)
    return ((scaled + 1) / 2).clamp(0, 1).cpu().numpy()


def _weights_of(
    module: Attention, index: int, inputs: tuple[Any, ...], options: dict[str, Any]
) -> Float[Tensor, "1 head query key"]:
    """The weights of one sequence."""

    def one(value: Any) -> Any:
        each = isinstance(value, Tensor) and value.ndim == inputs[0].ndim
        return value[index : index + 1] if each else value

    return module.weights(
        *map(one, inputs), **{name: one(value) for name, value in options.items()}
    )
