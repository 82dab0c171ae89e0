"""Networks without storage: how large everything in them is, in no time and no memory.

A network on PyTorch's device "meta" has shapes and no values. Almost every operation works there;
two do not, and are replaced by their shapes: the inverse STFT, which looks at values, and recurrent
layers, which would be walked through step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from model_zoo import registry
from model_zoo.separator import Separator


def weightless(architecture: str, options: Mapping[str, Any]) -> Separator:
    """A network on the device "meta", in evaluation mode.

    Args:
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        options: of its constructor.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: ``options`` has unknown or contradictory values, all of them named.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = registry.build(architecture, options)
    return network.to("meta").eval()


class Shapes(TorchFunctionMode):
    """Inside this context the operations that tensors without values lack give their shapes."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer for an operation, or let it run."""
        kwargs = kwargs or {}
        if func is torch.istft:
            return _inverse(args[0], kwargs["length"])
        if getattr(func, "__name__", "") in ("gru", "lstm"):
            return _recurrent(*args)
        return func(*args, **kwargs)


def _inverse(spectrum: Tensor, length: int) -> Tensor:
    return torch.empty(*spectrum.shape[:-2], length, device=spectrum.device)


def _recurrent(sequence: Tensor, first: Any, *layout: Any) -> tuple[Any, ...]:
    """Outputs and last states of a layer of torch, the last arguments of which lay it out."""
    *_, bidirectional, _batch_first = layout
    states = first if isinstance(first, tuple) else (first,)
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    outputs = torch.empty(*sequence.shape[:-1], width, device=sequence.device)
    return (outputs, *states)
