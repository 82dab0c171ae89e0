"""Builds networks without storage and shows their layers with shapes and parameter counts.

Tensors on PyTorch's device "meta" have shapes but no values. Almost every operation works there;
two do not and are replaced by functions that return the right shapes: the inverse STFT, which reads
values, and recurrent layers, which would be unrolled step by step.

Layers and operations take time even without memory, so networks with very many are refused.

Equal layers that follow each other are shown as one with a count. Names of axes come from the
annotation of a module's ``forward``, if it has one.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
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

MOST_PARTS = 40_000
"""Largest number of layers and tensors; a published network of 53 stems has 34,000."""

MOST_OPERATIONS = 40_000
"""Largest number of operations in a forward pass, likewise; each takes about 0.2 ms."""


def build_on_meta(architecture: str, options: Mapping[str, Any]) -> Separator:
    """Build a network on the device "meta", in evaluation mode.

    Args:
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        options: options of the architecture.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: ``options`` has unknown or contradictory values, or the network has too many
            layers and tensors.
    """
    return without_storage(partial(registry.build, architecture, options))


def without_storage(build: Callable[[], N]) -> N:
    """Call ``build`` on the device "meta"; returns its network in evaluation mode.

    Raises:
        ConfigError: the network has too many layers and tensors.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]), _counted_parts():
        network = build()
    return network.to("meta").eval()


@contextmanager
def _counted_parts() -> Iterator[None]:
    """Limit the number of layers and tensors of networks built in this context."""
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
    mistake = f"a network of more than {most} is too large to be shown. Use smaller numbers"
    return ConfigError("options", [mistake])


class Shapes(TorchFunctionMode):
    """Supplies the operations that the device "meta" lacks, and counts operations.

    A network with very many operations raises a ConfigError.
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
        """Replace an operation by its shape, or run it."""
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
    """Number of pieces that a tensor is split into, before they take memory."""
    return -(-tensor.shape[dim] // size) if isinstance(size, int) else len(size)


def _inverse(spectrum: Tensor, length: int) -> Tensor:
    return torch.empty(*spectrum.shape[:-2], length, device=spectrum.device)


def _recurrent(sequence: Tensor, first: Any, *layout: Any) -> tuple[Any, ...]:
    """Outputs and last states of a recurrent layer of torch."""
    *_, bidirectional, _batch_first = layout
    states = first if isinstance(first, tuple) else (first,)
    width = states[0].shape[-1] * (2 if bidirectional else 1)
    outputs = torch.empty(*sequence.shape[:-1], width, device=sequence.device)
    return (outputs, *states)


LISTS = (nn.ModuleList, nn.ModuleDict)
OWN = "Parameter"
"""Class name of tensors that belong to a module directly."""


@dataclass(frozen=True)
class LayerInfo:
    """A layer of a network, or several equal layers in a row.

    Attributes:
        name: name inside its parent; of several the first and the last, ``0-11``.
        kind: name of its class.
        shape: output shape of its first call; empty if unknown.
        axes: name of each axis of ``shape``; empty if unknown.
        parameters: number of trainable parameters, of several in all of them.
        times: number of equal layers.
        parts: layers inside; of several, those of one.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    axes: tuple[str, ...] = ()
    parameters: int = 0
    times: int = 1
    parts: tuple[LayerInfo, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def depth(self) -> int:
        """Levels of layers inside this one."""
        return max((1 + part.depth for part in self.parts), default=0)

    @property
    def described_shape(self) -> str:
        """``frame 801, feature 128`` where the axes have names, else ``1 x 801 x 128``.

        A batch of one item is left out.
        """
        if not self.axes:
            return " x ".join(map(str, self.shape))
        named = [
            f"{axis.removesuffix('_out')} {length}"
            for axis, length in zip(self.axes, self.shape, strict=True)
            if (axis, length) != ("batch", 1)
        ]
        return ", ".join(named)


def layer_tree(separator: Separator) -> LayerInfo:
    """Layer tree of a network, with the shapes of one segment.

    Args:
        separator: network on the device "meta", see :func:`build_on_meta`.

    Raises:
        ConfigError: the forward pass has too many operations.
    """
    shapes = _shapes(separator)
    return _part("", separator, shapes)


def _shapes(separator: Separator) -> dict[nn.Module, tuple[int, ...]]:
    """Shape of the first output of every module that is called."""
    found: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        first = next(_tensors(output), None)
        if first is not None:
            found.setdefault(module, tuple(first.shape))

    wave = torch.empty(1, separator.channels, separator.segment, device="meta")
    with ExitStack() as hooks:
        for module in separator.modules():
            hooks.callback(module.register_forward_hook(note).remove)
        # An operation whose shapes depend on values ends the pass; shapes up to there are known.
        with suppress(RuntimeError), torch.no_grad(), Shapes():
            separator(wave)
    return found


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for each in output:
            yield from _tensors(each)


def _part(name: str, module: nn.Module, shapes: dict[nn.Module, tuple[int, ...]]) -> LayerInfo:
    children = [_part(key, child, shapes) for key, child in module.named_children()]
    own = [
        LayerInfo(key, OWN, tuple(value.shape), (), value.numel())
        for key, value in module.named_parameters(recurse=False)
    ]
    # Tensors of torch's own layers are not listed.
    parts = _folded([*own, *children]) if children else ()
    kind, shape = type(module).__name__, shapes.get(module, ())
    count = sum(value.numel() for value in module.parameters())
    if isinstance(module, LISTS) and len(parts) == 1:
        return replace(parts[0], name=name)
    return LayerInfo(name, kind, shape, _axes(module, len(shape)), count, 1, parts)


def _folded(parts: Iterable[LayerInfo]) -> tuple[LayerInfo, ...]:
    groups = [[*group] for _, group in groupby(parts, lambda part: replace(part, name=""))]
    return tuple(_as_one(group) for group in groups)


def _as_one(group: list[LayerInfo]) -> LayerInfo:
    first, times = group[0], sum(part.times for part in group)
    if len(group) == 1:
        return first
    name = f"{first.name}-{group[-1].name}"
    return replace(first, name=name, times=times, parameters=sum(p.parameters for p in group))


def _axes(module: nn.Module, count: int) -> tuple[str, ...]:
    """Axis names of an annotated shape with ``count`` axes."""
    hints: dict[str, Any] = {}
    with suppress(NameError, TypeError):
        hints = typing.get_type_hints(type(module).forward)
    hint = hints.get("return")
    for each in (hint, *typing.get_args(hint)):
        words = tuple(str(getattr(each, "dim_str", "")).split())
        if words:
            return words if len(words) == count and all(map(str.isidentifier, words)) else ()
    return ()
