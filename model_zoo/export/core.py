"""The core of a separator with examples of its inputs and outputs, which all exporters take.

Features and outputs of a core are named as in its docstring. An axis whose size differs between
mixtures of two lengths is dynamic; all others are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model_zoo.errors import ExportError
from model_zoo.separator import Separator

Tensors = tuple[Tensor, ...]

LENGTH_RATIO = 3 / 2
"""Length of the second mixture divided by that of the first."""


@dataclass(frozen=True)
class Example:
    """Inputs of a core and its outputs, for a mixture of one length."""

    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True)
class CoreExamples:
    """A core, with examples for mixtures of two lengths.

    Attributes:
        core: the network between the transforms.
        segment: for a mixture of the length of the separator's segment, or the shortest multiple of
            it for which every dynamic axis has several entries.
        longer: for one that is longer by half; the same if the core has a fixed length.
    """

    core: nn.Module
    segment: Example
    longer: Example

    @property
    def all(self) -> tuple[Example, Example]:
        """Both examples."""
        return self.segment, self.longer

    @property
    def input_names(self) -> tuple[str, ...]:
        """``features``; with several inputs ``features``, ``wave``."""
        return ("features", "wave")[: len(self.segment.inputs)]

    @property
    def output_names(self) -> tuple[str, ...]:
        """``output``; with several outputs ``output``, ``wave_output``."""
        return ("output", "wave_output")[: len(self.segment.outputs)]

    def dynamic_axes(self) -> tuple[tuple[int, ...], ...]:
        """Axes of each input that depend on the length of the mixture, or on its blocks."""
        pairs = zip(self.segment.inputs, self.longer.inputs, strict=True)
        return tuple(
            tuple(axis for axis in range(one.ndim) if one.shape[axis] != other.shape[axis])
            for one, other in pairs
        )


def core_examples(separator: Separator, samples: int | None = None) -> CoreExamples:
    """Run a separator on noise of two lengths and record what its core gets and returns.

    Args:
        separator: a network in evaluation mode on the CPU.
        samples: length of the shorter mixture; None for the separator's segment.
    """
    length = samples or separator.segment
    separator.core.eval()  # made on first use, so that separator.eval() may have missed it
    if separator.core_has_fixed_length:
        only = _example(separator, length)
        return CoreExamples(separator.core, only, only)
    while True:
        lengths = (length, round(length * LENGTH_RATIO))
        examples = CoreExamples(separator.core, *(_example(separator, each) for each in lengths))
        axes = zip(examples.segment.inputs, examples.dynamic_axes(), strict=True)
        if all(one.shape[axis] > 1 for one, dynamic in axes for axis in dynamic):
            return examples
        length *= 2


def _example(separator: Separator, samples: int) -> Example:
    recorded: list[Example] = []

    def record(core: nn.Module, inputs: Tensors, output: Tensor | Tensors) -> None:
        recorded.append(Example(inputs, as_tuple(output)))

    noise = torch.rand(1, separator.channels, samples, generator=torch.Generator().manual_seed(0))
    handle = separator.core.register_forward_hook(record)
    try:
        with torch.no_grad():
            separator(noise - 0.5)
    finally:
        handle.remove()
    return recorded[0]


def as_tuple(output: Tensor | Sequence[Tensor]) -> Tensors:
    """All outputs of a core that returns one or several."""
    return (output,) if isinstance(output, Tensor) else tuple(output)


LARGEST_ERROR = 1e-4
"""Largest relative error of an exported core in float32."""


def relative_error(found: Sequence[Any], expected: Sequence[Tensor]) -> float:
    """Norm of the difference divided by that of the expected output; the largest of all outputs."""
    errors = [
        (torch.as_tensor(one) - other).double().norm() / other.double().norm()
        for one, other in zip(found, expected, strict=True)
    ]
    return float(max(errors))


def checked_error(
    run: Callable[[Tensors], Sequence[Any]], examples: Sequence[Example], tolerance: float
) -> float:
    """Largest relative error of an exported core over some examples.

    Args:
        run: the exported core.
        examples: inputs, and outputs of torch.
        tolerance: the largest error that is allowed.

    Raises:
        ExportError: the error is larger.
    """
    error = max(relative_error(run(each.inputs), each.outputs) for each in examples)
    if not error <= tolerance:
        raise ExportError(
            f"The exported network differs from the original by {error:.1e} of its output, more"
            f" than {tolerance:.0e}, so it was not kept"
        )
    return error


@contextmanager
def replaced_forwards(
    core: nn.Module, kind: type[nn.Module], forward: Callable[..., Any]
) -> Iterator[None]:
    """Call ``forward(module, ...)`` in place of the ``forward`` of modules of a kind."""
    modules = [module for module in core.modules() if isinstance(module, kind)]
    for module in modules:
        module.forward = _bound(forward, module)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _bound(forward: Callable[..., Any], module: nn.Module) -> Callable[..., Any]:
    return lambda *args: forward(module, *args)
