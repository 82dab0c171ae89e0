"""The tree of expected errors, and the description of any exception as one sentence.

Every message says what happened and what to run next; users never see these as a traceback. Catch
the base class of a branch to handle the whole branch::

    StemError
    ├── UsageError              the request itself is wrong           (exit code 2)
    │   ├── UnknownNameError    no such model, stem or architecture; suggests the nearest
    │   ├── NoModelError        a file or folder is not a model, or not of the required kind
    │   ├── ConfigError         unknown or contradictory options, all of them at once
    │   └── DeviceError         the requested device is not available
    ├── AudioError              an audio file cannot be used          (exit code 1)
    │   ├── DecodeError         it cannot be read
    │   ├── EncodeError         it cannot be written in that format
    │   └── FfmpegMissingError  it needs ffmpeg, which is missing or incomplete
    ├── DataError               training data has errors, all of them at once
    ├── OutputError             an output file cannot be written
    ├── StorageError            a shared folder or a URL cannot be reached
    ├── WeightsError            a checkpoint cannot be used
    │   ├── ChecksumError       its content does not match its card
    │   └── CheckpointError     it is damaged, unsafe or of an unknown layout
    │       └── MisfitError     its tensors are those of another network
    ├── ExportError             a network cannot be exported
    ├── NumericalError          the network produced NaN or infinity
    ├── ClusterError            the Ray cluster cannot be joined, or none of its machines can work
    ├── OutOfMemoryError        a single chunk does not fit in the device's memory
    └── MissingExtraError       an optional part is not installed
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, ClassVar, TypeVar

from model_zoo.option_names import option, origin, setting
from model_zoo.shell import SINGLE_QUOTES, is_in_single_quotes, quoted

SHORTEST_PART = 4
"""Characters that a name must have to match as a part of another name."""


LONGEST_NAME = 100
"""Characters of a name that are compared with others, or shown."""


Kind = TypeVar("Kind", bound="StemError")


class StemError(Exception):
    """Base of all expected errors: ``str(error)`` is the sentence to show.

    Errors can be pickled and copied, as process pools require, whatever their constructor takes.

    Attributes:
        option: field of the option whose value is to blame, if the sentence does not begin with its
            name; :func:`describe_error` adds the setting that the value comes from.
    """

    exit_code: ClassVar[int] = 1
    option: str = ""

    def about(self: Kind, option: str) -> Kind:
        """Note whose value is to blame, unless that is known already; returns this error."""
        self.option = self.option or option
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class UsageError(StemError):
    """The request itself is wrong; nothing was started."""

    exit_code: ClassVar[int] = 2


class UnknownNameError(UsageError):
    """A model, stem, architecture or recipe does not exist.

    Args:
        kind: kind of object, e.g. ``"model"``.
        name: the name that the user gave.
        known: the names that exist.
        hint: command that lists them, e.g. ``"stem models list"``.
        instead: what to say instead of suggesting or listing names.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        known: Iterable[str],
        hint: str = "",
        instead: str = "",
    ) -> None:
        names = sorted(known)
        near = nearest(name, names)
        advice = f"did you mean {near!r}?" if near else f"known: {', '.join(names) or 'none'}."
        if is_in_single_quotes(name):
            instead = f"{SINGLE_QUOTES}."
        message = f"Unknown {kind} {name[:LONGEST_NAME]!r}: {instead or advice}"
        super().__init__(message + (f" See: {hint}" if hint else ""))
        self.name = name
        self.nearest = near


class NoModelError(UsageError):
    """A file or folder is missing, is not a trained model, or is a model for another purpose."""


class ConfigError(UsageError):
    """Options are unknown or contradict each other; the message lists every mistake."""

    def __init__(self, where: str, mistakes: Iterable[str]) -> None:
        self.mistakes = list(mistakes)
        super().__init__((f"{where}: " if where else "") + "; ".join(self.mistakes))


class DeviceError(UsageError):
    """The requested device is not available on this machine."""


class AudioError(StemError):
    """An audio file cannot be used."""


class DecodeError(AudioError):
    """An audio file cannot be read."""


class EncodeError(AudioError):
    """Audio cannot be written in the requested format."""


class FfmpegMissingError(AudioError):
    """A format needs ffmpeg, and ffmpeg is missing, broken or lacks a codec."""


class DataError(StemError):
    """Training data cannot be used; the message lists the problems.

    Args:
        where: the data folder; empty if the problems name it.
        problems: one sentence each, with the file; the message shows the first 20 and counts the
            others.
    """

    SHOWN: ClassVar[int] = 20

    def __init__(self, where: str, problems: Iterable[str]) -> None:
        self.problems = [problem.rstrip(".") for problem in problems]
        more = len(self.problems) - self.SHOWN
        shown = [*self.problems[: self.SHOWN], *([f"and {more} more"] if more > 0 else [])]
        super().__init__((f"{where}: " if where else "") + "; ".join(shown))


class OutputError(StemError):
    """An output file cannot be written."""


class StorageError(StemError):
    """A URL or a shared folder cannot be reached or denies access."""


class WeightsError(StemError):
    """A checkpoint cannot be used."""


class ChecksumError(WeightsError):
    """The content of a file does not match the checksum on its card."""


class CheckpointError(WeightsError):
    """A checkpoint is damaged, unsafe to read or of an unknown layout."""


class MisfitError(CheckpointError):
    """Tensors are not those of the network that they should be of."""


class ExportError(StemError):
    """A network cannot be exported, or its exported form gives other results."""


class NumericalError(StemError):
    """The network produced NaN or infinity even in float32."""


class ClusterError(StemError):
    """The cluster cannot be joined, or none of its machines can do the work."""


class OutOfMemoryError(StemError):
    """A single chunk does not fit in the memory of the device."""


class MissingExtraError(StemError):
    """An optional part of the program is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed. Try: pip install {quoted(f'stemcli[{extra}]')}")
        self.extra = extra


@contextmanager
def errors_about(option: str) -> Iterator[None]:
    """Errors inside are about the value of an option; see :attr:`StemError.option`."""
    try:
        yield
    except StemError as error:
        error.about(option)
        raise


def require_package(package: str, extra: str) -> None:
    """Require that an optional package is installed, without importing it.

    Raises:
        MissingExtraError: the package is not installed.
    """
    if find_spec(package) is None:
        raise MissingExtraError(package, extra)


def first_line(error: object) -> str:
    """First line of a text or an error; the name of the class of an error without a message."""
    lines = str(error).strip().splitlines()
    empty = type(error).__name__ if isinstance(error, BaseException) else ""
    return (lines or [empty])[0].rstrip(".")


def _restored(kind: type[StemError], args: tuple[Any, ...], values: dict[str, Any]) -> StemError:
    """Recreate a pickled or copied error without its constructor, whose arguments are not kept."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(values)
    return error


def revived(kind: str, sentence: str) -> StemError:
    """Recreate an error that was sent between processes as a class name and a sentence.

    Args:
        kind: name of a class in this module; other names give a :class:`StemError`.
        sentence: the message.
    """
    named = globals().get(kind)
    error_class = named if isinstance(named, type) and issubclass(named, StemError) else StemError
    error = error_class.__new__(error_class)
    Exception.__init__(error, sentence)
    return error


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most similar to ``name``, or the only one that contains it; else None."""
    if len(name) > LONGEST_NAME:
        return None  # comparing takes quadratic time
    by_folded, folded = {word.casefold(): word for word in known}, name.casefold()
    matches = get_close_matches(folded, list(by_folded), n=1, cutoff=0.55)
    if not matches and len(folded) >= SHORTEST_PART:
        matches = [word for word in by_folded if folded in word]
    return by_folded[matches[0]] if len(matches) == 1 else None


def describe_error(error: BaseException) -> str:
    """One sentence for any exception: expected, from the system, or a bug."""
    if isinstance(error, StemError):
        place = origin(error.option)
        return f"{error} (from {place})" if place else str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        advice = " Check its permissions." if error.errno == errno.EACCES else ""
        return f"The operating system reports: {error.strerror}{where}.{advice}"
    if isinstance(error, MemoryError):
        return f"Out of memory. Try {setting(jobs=1)} or a smaller {option('segment')}."
    return (
        f"This is a bug in stem, not your mistake ({type(error).__name__}: {error}). "
        f"Run it again with {option('verbose')} to see where it happened, and please report it."
    )
