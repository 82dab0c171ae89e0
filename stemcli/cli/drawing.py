"""The parts of a network as a tree in a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model_zoo.introspection import LayerInfo

COLUMNS = ("=part", "=class", "gives", ">parameters")

Row = tuple[str, str, str, str]


def rows(root: LayerInfo, depth: int) -> Iterator[Row]:
    """The network itself, then its parts to that depth, each below the part it belongs to."""
    yield root.kind, "", shape(root), count(root)
    yield from _below(root, "", depth)


def _below(part: LayerInfo, indent: str, depth: int) -> Iterator[Row]:
    for child in part.parts if depth else ():
        is_last = child is part.parts[-1]
        yield f"{indent}{'└─ ' if is_last else '├─ '}{name(child)}", child.kind, *figures(child)
        yield from _below(child, indent + ("   " if is_last else "│  "), depth - 1)


def name(part: LayerInfo) -> str:
    """``freq_blocks x12``: where parts of a list are alike they are drawn once."""
    return f"{part.name} x{part.times}" if part.times > 1 else part.name


def figures(part: LayerInfo) -> tuple[str, str]:
    """What comes out and how many values there are."""
    return shape(part), count(part)


def shape(part: LayerInfo) -> str:
    """``frame 801, feature 128`` where the axes have names, else ``1 x 801 x 128``.

    That a single item was heard is left out.
    """
    if not part.axes:
        return " x ".join(map(str, part.shape))
    named = [
        f"{axis.removesuffix('_out')} {length}"
        for axis, length in zip(part.axes, part.shape, strict=True)
        if (axis, length) != ("batch", 1)
    ]
    return ", ".join(named)


def count(part: LayerInfo) -> str:
    """Trainable values; of several parts those of each."""
    if part.times > 1 and part.parameters:
        return f"{part.times} x {part.parameters // part.times:,}"
    return f"{part.parameters:,}" if part.parameters else ""


def deeper(part: LayerInfo, depth: int) -> bool:
    """Whether there are parts that are not drawn at this depth."""
    return any(deeper(child, depth - 1) if depth else True for child in part.parts)
