"""Networks without storage: how large everything in them is, in no time and no memory.

A network on PyTorch's device "meta" has shapes and no values. Almost every operation works there;
two do not, and are replaced by their shapes: the inverse STFT, which looks at values, and recurrent
layers, which would be walked through step by step.

What takes no memory takes time all the same, for every layer and every operation: a network of very
many is refused before it has all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

from model_zoo import registry
from model_zoo.errors import ConfigError
from model_zoo.separator import Separator

N = TypeVar("N", bound=nn.Module)

MOST_PARTS = 10_000
"""Layers and tensors of a network, thrice those of the largest among the usual ones."""

MOST_OPERATIONS = 40_000
"""Operations on tensors from waves to stems, likewise; each takes some 0.2 ms."""


def weightless(architecture: str, options: Mapping[str, Any]) -> Separator:
    """A network on the device "meta", in evaluation mode.

    Args:
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        options: of its constructor.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: ``options`` has unknown or contradictory values, all of them named; or the
            network has too many layers and tensors.
    """
    return without_storage(partial(registry.build, architecture, options))


def without_storage(build: Callable[[], N]) -> N:
    """What ``build`` makes, on the device "meta" and in evaluation mode.

    Raises:
        ConfigError: it has too many layers and tensors.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]), _counted_parts():
        network = build()
    return network.to("meta").eval()


@contextmanager
def _counted_parts() -> Iterator[None]:
    """Inside this context no network comes to more than so many layers and tensors."""
    left = MOST_PARTS

    def count(*part: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise _too_large(f"{MOST_PARTS:,} layers and tensors")

    hooks = (
        register_module_module_registration_hook(count),
        register_module_parameter_registration_hook(count),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _too_large(most: str) -> ConfigError:
    mistake = f"a network of more than {most} is too large to be drawn. Type smaller numbers"
    return ConfigError("options", [mistake])


class Shapes(TorchFunctionMode):
    """Inside this context the operations that tensors without values lack give their shapes.

    A network that needs very many operations ends in a ConfigError.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left = MOST_OPERATIONS

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer for an operation, or let it run."""
        kwargs = kwargs or {}
        self._count(1 if func is not torch.split else _pieces(*args, **kwargs))
        if func is torch.istft:
            return _inverse(args[0], kwargs["length"])
        if getattr(func, "__name__", "") in ("gru", "lstm"):
            return _recurrent(*args)
        return func(*args, **kwargs)

    def _count(self, operations: int) -> None:
        self._left -= operations
        if self._left < 0:
            raise _too_large(f"{MOST_OPERATIONS:,} operations")


def _pieces(tensor: Tensor, size: int | Sequence[int], dim: int = 0) -> int:
    """Into how many a tensor is split, before they take memory."""
    return -(-tensor.shape[dim] // size) if isinstance(size, int) else len(size)


def _inverse(spectrum: Tensor, length: int) -> Tensor:
    return torch.empty(*spectrum.shape[:-2], length, device=spectrum.device)


def _recurrent(sequence: Tensor, first: Any, *layout: Any) -> tuple[Any, ...]:
    """Outputs and last states of a layer of torch, the last arguments of which lay it out."""
    *_, bidirectional, _batch_first = layout
    states = first if isinstance(first, tuple) else (first,)
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    outputs = torch.empty(*sequence.shape[:-1], width, device=sequence.device)
    return (outputs, *states)
