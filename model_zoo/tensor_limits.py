"""Limits for the tensors of files from strangers, the same for every format.

Names, shapes and sizes stand in the header, index or pickle of a file. They are checked before the
values take memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from model_zoo.errors import CheckpointError

MOST_TENSORS = 20_000
"""Four times those of a checkpoint of the largest usual network with its optimiser."""

LONGEST_NAME = 1_000
"""Characters of the name of a tensor."""

MOST_AXES = 8

SHARED = 4
"""How often a tensor may share the values of others, as tied weights do."""

MOST_BYTES = 16 * 2**30
"""Of all tensors of a file; a file may be longer than what it takes on its disk."""

Shape = tuple[int, ...]


def check_tensors(path: Path, shapes: Mapping[str, Shape], size: int, available: int) -> None:
    """Refuse names, shapes and sizes that no network has.

    Args:
        path: of the file.
        shapes: of the tensors in it, by name.
        size: bytes that the tensors would take in memory.
        available: bytes of the file or files that hold their values.

    Raises:
        CheckpointError: there are some.
    """
    mistakes = [*_names(shapes), *_shapes(shapes.values()), *_size(size, available)]
    if mistakes:
        raise unsafe(path, mistakes[0])


def unsafe(path: Path, why: str) -> CheckpointError:
    """The error for a file that would harm if it were read any further."""
    return CheckpointError(f"{path} is damaged or unsafe ({why}). Copy or download it again")


def _names(names: Collection[str]) -> Iterator[str]:
    if len(names) > MOST_TENSORS:
        yield f"it has {len(names):,} tensors"
    longest = max(map(len, names), default=0)
    if longest > LONGEST_NAME:
        yield f"a tensor has a name of {longest:,} characters"


def _shapes(shapes: Collection[Shape]) -> Iterator[str]:
    axes = max(map(len, shapes), default=0)
    if axes > MOST_AXES:
        yield f"a tensor has {axes:,} axes"
    elif any(length < 0 for shape in shapes for length in shape):
        yield "a tensor has an axis of negative length"


def _size(size: int, available: int) -> Iterator[str]:
    if size > min(SHARED * available, MOST_BYTES):
        yield f"its tensors would take {size:,} bytes"
