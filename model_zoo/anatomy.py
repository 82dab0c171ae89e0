"""The parts of a network as a tree: what each is, what comes out of it, how many values it has.

Parts that are the same in every respect and follow each other are one part with a number. What an
axis means is read from the annotation of a module's ``forward``, as far as it has one.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from model_zoo.separator import Separator
from model_zoo.weightless import Shapes

LISTS = (nn.ModuleList, nn.ModuleDict)
OWN = "Parameter"
"""The class of a part that is a tensor of its parent's own."""


@dataclass(frozen=True)
class Part:
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
    parts: tuple[Part, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def anatomy(separator: Separator) -> Part:
    """The parts of a network without storage, as it hears one segment.

    Args:
        separator: on the device "meta", see :func:`model_zoo.weightless.weightless`.

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


def _part(name: str, module: nn.Module, shapes: dict[nn.Module, tuple[int, ...]]) -> Part:
    children = [_part(key, child, shapes) for key, child in module.named_children()]
    own = [
        Part(key, OWN, tuple(value.shape), (), value.numel())
        for key, value in module.named_parameters(recurse=False)
    ]
    # The tensors of a layer of torch are no parts of it.
    parts = _folded([*own, *children]) if children else ()
    kind, shape = type(module).__name__, shapes.get(module, ())
    count = sum(value.numel() for value in module.parameters())
    if isinstance(module, LISTS) and len(parts) == 1:
        return replace(parts[0], name=name)
    return Part(name, kind, shape, _axes(module, len(shape)), count, 1, parts)


def _folded(parts: Iterable[Part]) -> tuple[Part, ...]:
    groups = [[*group] for _, group in groupby(parts, lambda part: replace(part, name=""))]
    return tuple(_as_one(group) for group in groups)


def _as_one(group: list[Part]) -> Part:
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
