"""Builds networks without storage and shows their layers with shapes and parameter counts.

A network on PyTorch's device "meta" has shapes and no values. Almost every operation works there;
two do not, and are replaced by their shapes: the inverse STFT, which looks at values, and recurrent
layers, which would be walked through step by step.

What takes no memory takes time all the same, for every layer and every operation: a network of very
many is refused before it has all of them.

Parts that are the same in every respect and follow each other are one part with a number. What an
axis means is read from the annotation of a module's ``forward``, as far as it has one.
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

MOST_PARTS = 10_000
"""Layers and tensors of a network, thrice those of the largest among the usual ones."""

MOST_OPERATIONS = 40_000
"""Operations on tensors from waves to stems, likewise; each takes some 0.2 ms."""


def build_on_meta(architecture: str, options: Mapping[str, Any]) -> Separator:
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


LISTS = (nn.ModuleList, nn.ModuleDict)
OWN = "Parameter"
"""The class of a part that is a tensor of its parent's own."""


@dataclass(frozen=True)
class LayerInfo:
    """A module, or several that are alike.

    Attributes:
        name: inside its parent; of several the first and the last, ``0-11``.
        kind: name of its class.
        shape: of what comes out when it is first heard; empty where nothing is known.
        axes: one word for each axis of ``shape``; empty where nothing is known.
        parameters: trainable values in it, of several in all of them.
        times: how many there are.
        parts: what it consists of, each of several of the same.
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
    """The parts of a network without storage, as it hears one segment.

    Args:
        separator: on the device "meta", see :func:`model_zoo.introspection.build_on_meta`.

    Raises:
        ConfigError: it takes more operations than are worth a look.
    """
    shapes = _shapes(separator)
    return _part("", separator, shapes)


def _shapes(separator: Separator) -> dict[nn.Module, tuple[int, ...]]:
    """What comes out of every module that is called; of its outputs the first."""
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
    # The tensors of a layer of torch are no parts of it.
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
    """The words of an annotated shape that has so many axes."""
    hints: dict[str, Any] = {}
    with suppress(NameError, TypeError):
        hints = typing.get_type_hints(type(module).forward)
    hint = hints.get("return")
    for each in (hint, *typing.get_args(hint)):
        words = tuple(str(getattr(each, "dim_str", "")).split())
        if words:
            return words if len(words) == count and all(map(str.isidentifier, words)) else ()
    return ()
