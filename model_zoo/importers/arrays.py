"""NumPy arrays of floats in a pickle, rebuilt from their bytes alone.

NumPy's own functions would make arrays of any shape, also such as have no bytes in the file. The
names in a pickle stand for the classes here instead; what they receive is the protocol of
``ndarray.__reduce__`` (numpy.org, "NEP 1", and the pickle module's ``copyreg`` interface).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOATS = ("f2", "f4", "f8")


class Kind:
    """Stands for ``numpy.dtype``.

    Args:
        name: of the type, e.g. ``"f4"``.
    """

    def __init__(self, name: object, *_: object) -> None:
        self._name, self._order = name, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take in the version, the order of the bytes, and what only structures have."""
        self._order = {"<": "<", ">": ">"}.get(state[1], "=")

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The type; None if it is not that of floats."""
        return np.dtype(f"{self._order}{self._name}") if self._name in FLOATS else None


class Array:
    """Stands for ``numpy.ndarray``.

    Attributes:
        values: None if they are not floats.
    """

    values: NDArray[np.floating[Any]] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take in version, shape, type, order of axes, and bytes.

        Raises:
            ValueError: the bytes do not fill the shape.
        """
        _, shape, kind, is_fortran, data = state
        if isinstance(kind, Kind) and kind.dtype is not None:
            flat = np.frombuffer(data, kind.dtype).astype(kind.dtype.newbyteorder("="))
            self.values = flat.reshape(shape, order="F" if is_fortran else "C")


def reconstruct(*_: object) -> Array:
    """Stands for the function that makes an empty array first."""
    return Array()


STAND_INS: list[Any] = [
    (reconstruct, "numpy.core.multiarray._reconstruct"),  # before NumPy 2
    (reconstruct, "numpy._core.multiarray._reconstruct"),
    (Array, "numpy.ndarray"),
    (Kind, "numpy.dtype"),
]
"""What the pickle of an array calls, as :func:`torch.serialization.safe_globals` takes it."""
