"""Estimates the memory that a training needs at least, and reads how much is free."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from model_zoo.introspection import build_on_meta, without_storage
from trainers.config import OptimizerRecipe, Recipe
from trainers.loop.state import ensemble_spec

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def least_memory(recipe: Recipe) -> int:
    """Bytes of weights, averaged weights, gradients and optimizer state, without any activations.

    Raises:
        UnknownNameError: there is no such architecture or discriminator.
        ConfigError: the options of a network are invalid.
    """
    network = build_on_meta(recipe.model.architecture, recipe.model.options)
    needed = _trained(network.parameters(), recipe.optimizer)
    needed += _bytes(network.parameters()) + 2 * _bytes(network.buffers())  # the average has both
    if recipe.adversary.discriminators:
        critics = without_storage(ensemble_spec(recipe, network.sample_rate).build)
        needed += _trained(critics.parameters(), recipe.adversary.optimizer)
        needed += _bytes(critics.buffers())
    return needed


def _trained(parameters: Iterable[Tensor], recipe: OptimizerRecipe) -> int:
    """Weights, gradients and state: two moments in AdamW, one momentum of matrices in Muon."""
    sizes = [(value.ndim, value.numel() * value.element_size()) for value in parameters]
    return sum(
        (3 if recipe.name == "muon" and dimensions == 2 else 4) * size for dimensions, size in sizes
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in tensors)


def free_memory(device: torch.device) -> int | None:
    """Free bytes of a GPU, or of this machine with its swap and the limit of its container.

    Returns:
        None where the system does not tell: on systems other than Linux, and for Apple's GPUs.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    found = _values(MEMINFO)
    if "MemAvailable" not in found:
        return None
    free = 1024 * (found["MemAvailable"] + found.get("SwapFree", 0))
    return min(chain([free], _room_in_container()))


def _room_in_container() -> Iterable[int]:
    """Bytes to the limit of control groups (version 2), if there is one."""
    with suppress(OSError, ValueError):
        most = int((CGROUP / "memory.max").read_text("utf-8"))  # "max" without a limit
        yield max(0, most - _values(CGROUP / "memory.stat").get("anon", 0))


def _values(file: Path) -> dict[str, int]:
    """Numbers in a file with a name and a number in each line; empty if it cannot be read."""
    try:
        rows = [line.replace(":", " ").split() for line in file.read_text("utf-8").splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
