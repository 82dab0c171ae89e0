"""Where a container ends, by its own structure."""

from __future__ import annotations

from typing import NamedTuple


class Extent(NamedTuple):
    """A container as it was read from its beginning to its end.

    Attributes:
        end: the byte behind its last part; what follows does not belong to it.
        frames: samples per channel that it counts; None where it counts none.
        flaw: how the file breaks off inside the container, or where that is damaged; ``""`` where
            it is whole.
        breaks_off: whether the flaw is that the file ends too early.
    """

    end: int
    frames: int | None = None
    flaw: str = ""
    breaks_off: bool = True
