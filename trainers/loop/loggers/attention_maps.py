"""Attention maps of a network, as images.

Fused attention never materializes its weights, so they are computed separately, and only inside
:func:`record_attention`.
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
"""Number of sequences (frames or bands) that a map averages, evenly spread over all of them, or
over the first part if attention is computed in parts."""

LARGEST = 128
"""Largest number of rows and columns of a map; larger ones are averaged down."""

TIMES = 10
"""Factor above (below) its equal share at which a token is shown as 1 (0)."""

SHARES = {0.0: f"1/{TIMES} or less", 0.5: "equal share", 1.0: f"{TIMES} times or more"}
"""What the numbers of a map mean."""

NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
"""A numeric component of a layer's name."""

Maps = dict[str, Float[np.ndarray, "query key"]]


@contextmanager
def record_attention(network: nn.Module) -> Iterator[Maps]:
    """Record attention maps of the first, middle and last layer of every kind of attention.

    Inside the ``with`` block, the first forward pass fills the mapping from layer names to weights
    ``query key``, averaged over heads and :data:`SEQUENCES` sequences and reduced to at most
    :data:`LARGEST` rows and columns. A value is the logarithm of a token's attention relative to an
    equal share: 0 for a tenth or less, 0.5 for an equal share, 1 for ten times or more, so that
    maps of all layers and steps are comparable. Without attention the mapping stays empty.
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
    """Recorded layers by short name; names that differ only in numbers are of one kind."""
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
    """Forward hook that records the map of the first forward pass."""

    def keep(module: Attention, inputs: tuple[Any, ...], options: dict[str, Any], _: Any) -> None:
        if name not in maps:
            maps[name] = _map(module, inputs, options)

    return keep


@torch.no_grad()
def _map(
    module: Attention, inputs: tuple[Any, ...], options: dict[str, Any]
) -> Float[np.ndarray, "query key"]:
    """Average over sequences one by one: all at once need more memory than the network."""
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
    """Attention weights of one sequence."""

    def one(value: Any) -> Any:
        each = isinstance(value, Tensor) and value.ndim == inputs[0].ndim
        return value[index : index + 1] if each else value

    return module.weights(
        *map(one, inputs), **{name: one(value) for name, value in options.items()}
    )
