"""Detects pickles that would expand far beyond their size, before they are loaded.

``weights_only=True`` keeps a pickle from running code. It does not limit what the pickle builds:
tuples nested in each other many times over, whose hash is computed for ever when they are the key
of a mapping; a text that is encoded as hexadecimal again and again, which doubles it each time; a
view of one value that is converted into a tensor of billions. The opcodes (documented in the module
pickletools) are walked, tracking only the size of each object on the stack.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any, NamedTuple

MOST_STEPS = 1_000_000
"""Of a pickle: a tensor or an array takes about twenty."""

MOST_VALUES = 10_000_000
"""In an object, each counted as often as it is referred to."""

REBUILDERS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
"""Functions of torch that give views of their storage; others convert or unpack them."""

ALLOCATING = ("bytearray", "Tensor", "Storage")
"""Ends of the names of classes that take any number for a size."""

PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
GET = {"GET", "BINGET", "LONG_BINGET"}
ENCODE = "_codecs encode"
LATIN = "latin1"
"""The one encoding that pickles of bytes and arrays use; it gives a byte for each character."""


class BombError(ValueError):
    """A pickle would make far more than its own bytes."""


class Item(NamedTuple):
    """An object on the stack of a pickle.

    Attributes:
        size: values in it.
        text: itself, if it is a text or the name of a function.
        parts: the texts of its parts, if it is a tuple.
    """

    size: int
    text: str = ""
    parts: tuple[str, ...] = ()


MARK = Item(0)


def check_steps(file: Any) -> None:
    """Go through one pickle, up to the step that ends it.

    Args:
        file: open for reading bytes.

    Raises:
        BombError: it would make far more than its own bytes.
        Exception: it is damaged; of any kind.
    """
    stack: list[Item] = []
    memo: dict[int, Item] = {}
    for number, (step, argument, _) in enumerate(pickletools.genops(file)):
        if number > MOST_STEPS:
            raise BombError("its description is too large")
        if step.name in PUT:
            memo[_number(argument)] = stack[-1]
        elif step.name == "MEMOIZE":  # of protocol 4, numbered by itself
            memo[len(memo)] = stack[-1]
        elif step.name in GET:
            stack.append(memo[_number(argument)])
        else:
            _advance(stack, step, argument)


def _number(argument: object) -> int:
    assert isinstance(argument, int), "of these steps pickletools gives a number"
    return argument


def _advance(stack: list[Item], step: pickletools.OpcodeInfo, argument: object) -> None:
    if step.name == "MARK":
        stack.append(MARK)
        return
    taken = [*_taken(stack, step)][::-1]
    size = 1 + sum(item.size for item in taken)
    if size > MOST_VALUES:
        raise BombError("its objects reference each other too often")
    if step.name in ("REDUCE", "NEWOBJ"):
        _check_call(taken[0].text, taken[1].parts)
    text = argument if isinstance(argument, str) else ""
    parts = tuple(item.text for item in taken) if step.name.startswith("TUPLE") else ()
    stack.extend(Item(size, text, parts) for _ in step.stack_after)


def _taken(stack: list[Item], step: pickletools.OpcodeInfo) -> Iterator[Item]:
    """What a step takes from the stack, the uppermost object first."""
    wanted = [kind for kind in step.stack_before if kind is not pickletools.stackslice]
    for kind in reversed(wanted):
        if kind is not pickletools.markobject:
            yield stack.pop()
            continue
        while (item := stack.pop()) is not MARK:
            yield item


def _check_call(function: str, arguments: tuple[str, ...]) -> None:
    """Refuse calls that give more than they take."""
    module, _, name = function.partition(" ")
    if function == ENCODE and (len(arguments) != 2 or arguments[1] != LATIN):
        raise BombError("it encodes a text in an unusual way")
    is_rebuilder = module in ("torch._utils", "torch._tensor")
    if (is_rebuilder and name not in REBUILDERS) or name.endswith(ALLOCATING):
        raise BombError(f"it calls {name}")
