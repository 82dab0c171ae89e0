"""Stand-ins for names in pickles, so that reading them imports and runs nothing.

NumPy's own functions would allocate arrays of any shape, even without bytes in the file. The names
in a pickle are mapped to the classes below instead, which follow the protocol of
``ndarray.__reduce__`` (numpy.org, "NEP 1", and the pickle module's ``copyreg`` interface).

Packages of Demucs name the class of their network, and hold fractions of a second.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.parsing import shortened

FLOATS = ("f2", "f4", "f8")


class TensorKind:
    """Stands for ``numpy.dtype``.

    Args:
        name: of the type, e.g. ``"f4"``.
    """

    def __init__(self, name: object, *_: object) -> None:
        self._name, self._order = name, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Receive version and byte order; the rest is for structured types."""
        self._order = {"<": "<", ">": ">"}.get(state[1], "=")

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype; None unless it is a float type."""
        return np.dtype(f"{self._order}{self._name}") if self._name in FLOATS else None


class Array:
    """Stands for ``numpy.ndarray``.

    Attributes:
        values: None if they are not floats.
    """

    values: NDArray[np.floating[Any]] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Receive version, shape, dtype, order of axes, and bytes.

        Raises:
            ValueError: the bytes do not fill the shape.
        """
        _, shape, kind, is_fortran, data = state
        if isinstance(kind, TensorKind) and kind.dtype is not None:
            flat = np.frombuffer(data, kind.dtype).astype(kind.dtype.newbyteorder("="))
            self.values = flat.reshape(shape, order="F" if is_fortran else "C")


def reconstruct(*_: object) -> Array:
    """Stands for the function that creates an empty array."""
    return Array()


def scalar(*_: object) -> None:
    """Stands for the function that creates a number of NumPy, such as a trainer's best score."""


class Ignored:
    """Stands for plain data beside the tensors that nothing here needs: paths and arguments."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Receive the values, which are not kept."""


IGNORED = (
    "argparse.Namespace",
    *(
        f"{module}.{kind}Path"
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "Windows", "PurePosix", "PureWindows")
    ),
)
"""Classes of plain data in checkpoints of trainers; the second module is that of Python 3.13."""

HYBRIDS = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs")
"""Classes that exist here."""

WAVEFORM = ("demucs.demucs.Demucs", "demucs.model.Demucs", "demucs.tasnet.ConvTasNet")
"""Classes of older networks that only see the waveform."""

RATIO = re.compile(r"(\d{1,9})/([1-9]\d{0,8})")


class Ratio:
    """Stands for ``fractions.Fraction``, whose constructor computes numbers of any size.

    Args:
        parts: numerator and denominator, or the text ``numerator/denominator``.

    Raises:
        ValueError: they are something else.
    """

    def __init__(self, *parts: object) -> None:
        text = "/".join(str(part) for part in parts if isinstance(part, (int, str)))
        found = RATIO.fullmatch(text)
        if not found:
            raise ValueError(f"{shortened(text)} is not a fraction")
        self.value = Fraction(int(found[1]), int(found[2]))


STAND_INS: list[Any] = [
    (reconstruct, "numpy.core.multiarray._reconstruct"),  # before NumPy 2
    (reconstruct, "numpy._core.multiarray._reconstruct"),
    (scalar, "numpy.core.multiarray.scalar"),
    (scalar, "numpy._core.multiarray.scalar"),
    (Array, "numpy.ndarray"),
    (TensorKind, "numpy.dtype"),
    (Ratio, "fractions.Fraction"),
    *((Ignored, name) for name in IGNORED),
    *((name, name) for name in (*HYBRIDS, *WAVEFORM)),
]
"""Names in pickles and what stands for them, for :func:`torch.serialization.safe_globals`. A class
of Demucs is read as its name, which cannot be called."""
