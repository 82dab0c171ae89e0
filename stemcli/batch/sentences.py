"""Any error as one sentence."""

from __future__ import annotations

import errno

from model_zoo.errors import StemError


def sentence(error: BaseException) -> str:
    """Say what went wrong: the user's mistake, the computer's refusal or our defect."""
    if isinstance(error, StemError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        advice = " Check its rights." if error.errno == errno.EACCES else ""
        return f"The system refused: {error.strerror}{where}.{advice}"
    if isinstance(error, MemoryError):
        return "There is not enough memory. Type --jobs 1 or a smaller --segment."
    return (
        f"This is a defect of stem, not a mistake of yours ({type(error).__name__}: {error}). "
        "Type the same with --verbose to see where it happened, and please report it."
    )
