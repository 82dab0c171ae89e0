"""The tree of errors that users meet, and any exception as one sentence.

Every message says what was found and what to type next; nothing here ever reaches a user as a
traceback. Catch the base class of a branch to handle the whole branch::

    StemError
    ├── UsageError              the request itself is wrong           (exit code 2)
    │   ├── UnknownNameError    no such model, stem or architecture; offers the nearest
    │   ├── NoModelError        a file or folder that is no model, or not one for this
    │   ├── ConfigError         unknown or contradictory options, all of them at once
    │   └── DeviceError         the device asked for is not there
    ├── AudioError              a sound file cannot be used           (exit code 1)
    │   ├── DecodeError         it cannot be read
    │   ├── EncodeError         it cannot be written in that format
    │   └── FfmpegMissingError  it needs an ffmpeg that is not there or incomplete
    ├── DataError               training data has mistakes, all of them at once
    ├── OutputError             a file cannot be put where it should go
    ├── StorageError            a place that is shared or behind a URL cannot be reached
    ├── WeightsError            a checkpoint cannot be used
    │   ├── ChecksumError       its content is not what the card promises
    │   └── CheckpointError     it is damaged, unsafe or of an unknown layout
    ├── NumericalError          the network produced NaN or infinity
    ├── ClusterError            the Ray cluster cannot be joined, or none of its machines can work
    ├── OutOfMemoryError        a single chunk does not fit in the device's memory
    └── MissingExtraError       an optional part is not installed
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from typing import ClassVar

SHORTEST_PART = 4
"""Letters that are worth to be found inside of another name."""


LONGEST_NAME = 100
"""Letters of a name that is compared with others, or shown."""


class StemError(Exception):
    """Base of everything a user can meet: ``str(error)`` is the sentence to show."""

    exit_code: ClassVar[int] = 1


class UsageError(StemError):
    """The request itself is wrong; nothing was started."""

    exit_code: ClassVar[int] = 2


class UnknownNameError(UsageError):
    """A model, stem, architecture or recipe that does not exist.

    Args:
        kind: what was looked for, e.g. ``"model"``.
        name: the name the user typed.
        known: the names that exist.
        hint: what to type to see them, e.g. ``"stem models list"``.
        few: whether they are so few that all of them are named in any case.
    """

    def __init__(
        self, kind: str, name: str, known: Iterable[str], hint: str = "", few: bool = False
    ) -> None:
        names = sorted(known)
        near = nearest(name, names)
        found = f"did you mean {near!r}?" if near else f"known: {', '.join(names) or 'none'}."
        if near and few:
            found += f" Known: {', '.join(names)}."
        super().__init__(
            f"Unknown {kind} {name[:LONGEST_NAME]!r}: {found}" + (f" See: {hint}" if hint else "")
        )
        self.name = name
        self.nearest = near


class NoModelError(UsageError):
    """A file or folder that is missing, is not a trained model, or is one for something else."""


class ConfigError(UsageError):
    """Options that are unknown or contradict each other, every mistake in one message."""

    def __init__(self, where: str, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__(f"{where}: " + "; ".join(self.mistakes))


class DeviceError(UsageError):
    """The device that was asked for by name is not available here."""


class AudioError(StemError):
    """A sound file cannot be used."""


class DecodeError(AudioError):
    """A sound file cannot be read."""


class EncodeError(AudioError):
    """Audio cannot be written in the format that was asked for."""


class FfmpegMissingError(AudioError):
    """A format needs ffmpeg, and there is none that works or the one there is lacks a part."""


class DataError(StemError):
    """Training data that cannot be used, every problem in one message.

    Args:
        where: the data folder.
        problems: what is wrong, each with its file; the message shows the first 20 and counts the
            others.
    """

    SHOWN: ClassVar[int] = 20

    def __init__(self, where: str, problems: Iterable[str]) -> None:
        self.problems = [problem.rstrip(".") for problem in problems]
        more = len(self.problems) - self.SHOWN
        shown = [*self.problems[: self.SHOWN], *([f"and {more} more"] if more > 0 else [])]
        super().__init__(f"{where}: " + "; ".join(shown))


class OutputError(StemError):
    """An output cannot be put where it should go."""


class StorageError(StemError):
    """A place behind a URL, or one that machines share, cannot be reached or refuses."""


class WeightsError(StemError):
    """A checkpoint cannot be used."""


class ChecksumError(WeightsError):
    """The content of a file is not what its card promises."""


class CheckpointError(WeightsError):
    """A checkpoint is damaged, unsafe to read or of an unknown layout."""


class NumericalError(StemError):
    """The network produced NaN or infinity, in float32 too."""


class ClusterError(StemError):
    """The cluster cannot be joined, or none of its machines can do the work."""


class OutOfMemoryError(StemError):
    """The smallest possible piece of work does not fit in the memory of the device."""


class MissingExtraError(StemError):
    """An optional part of the program is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed. Try: pip install 'stemcli[{extra}]'")
        self.extra = extra


def require_package(package: str, extra: str) -> None:
    """See that an optional package is installed, without importing it.

    Raises:
        MissingExtraError: it is not.
    """
    if find_spec(package) is None:
        raise MissingExtraError(package, extra)


def first_line(error: BaseException) -> str:
    """What an error of another package says, without its pages; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def revived(kind: str, sentence: str) -> StemError:
    """An error that travelled between processes as its class and its sentence.

    Args:
        kind: name of a class in this module; others come back as :class:`StemError`.
        sentence: what to show.
    """
    found = globals().get(kind)
    ours = found if isinstance(found, type) and issubclass(found, StemError) else StemError
    error = ours.__new__(ours)
    Exception.__init__(error, sentence)
    return error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that resembles ``name`` most, or alone has it as a part; None without one."""
    if len(name) > LONGEST_NAME:
        return None  # comparing takes the square of the length
    by_folded, folded = {word.casefold(): word for word in known}, name.casefold()
    matches = get_close_matches(folded, list(by_folded), n=1, cutoff=0.55)
    if not matches and len(folded) >= SHORTEST_PART:
        matches = [word for word in by_folded if folded in word]
    return by_folded[matches[0]] if len(matches) == 1 else None


def describe_error(error: BaseException) -> str:
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
        "Run it again with --verbose to see where it happened, and please report it."
    )
