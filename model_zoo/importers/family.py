"""What importers of all families share: files of other programs, statements about them, networks.

Most options of a network can be read from the names and shapes of its tensors. What these do not
tell is stated elsewhere: by a configuration file, in the checkpoint itself, or by the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from model_zoo.catalogue.cards import MOST_OVERLAP
from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.grids import Grid, Level
from model_zoo.importers.settings import Settings
from model_zoo.option_names import option, setting, shell_or_python
from model_zoo.parsing import shortened, shown
from model_zoo.weight_checks import Shape, shapes_of

Tensors = dict[str, Tensor]
Shapes = Mapping[str, Shape]


LARGEST = 2**40
"""Largest number in a statement; each option has a limit of its own."""


class Checkpoint(NamedTuple):
    """A file of another program.

    Attributes:
        path: the file.
        tensors: its tensors, without prefixes of wrappers in their names.
        notes: what it holds beside them, e.g. the arguments of the network.
    """

    path: Path
    tensors: Tensors
    notes: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Choices:
    """What is stated about checkpoints by others than themselves.

    Attributes:
        stems: names of the stems; empty for those of the files.
        options: options of the architecture under our names.
        settings: configuration file of the program that trained the network.
    """

    stems: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class ForeignNetwork:
    """A network of another program under our names.

    Attributes:
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        config: its options.
        tensors: its tensors.
        constants: shapes of tensors that only our networks have, such as windows of the STFT.
        residual: usual name of the mixture minus the stems; empty for none.
        is_whole: whether the stems are known to be the whole song.
        overlap: overlap of chunks by which the network was measured; None for the usual one.
        grid: how its authors' program cuts songs; None as the architecture does.
        level: what that program brings a song to; None as the architecture does.
    """

    architecture: str
    config: dict[str, Any]
    tensors: Tensors
    constants: Shapes = field(default_factory=dict)
    residual: str = ""
    is_whole: bool = False
    overlap: float | None = None
    grid: Grid | None = None
    level: Level | None = None


class Family(NamedTuple):
    """Networks of one program.

    Attributes:
        program: its name.
        recognizes: whether tensors are those of one of its checkpoints.
        read: the network in its checkpoints; raises CheckpointError or ConfigError.
        has_file_per_stem: whether a network may consist of several checkpoints.
    """

    program: str
    recognizes: Callable[[Mapping[str, Tensor]], bool]
    read: Callable[[Sequence[Checkpoint], Choices], ForeignNetwork]
    has_file_per_stem: bool = False


class Statement(NamedTuple):
    """An option that is stated somewhere.

    Attributes:
        option: its name here.
        value: its value here.
        words: the statement in the words of its source.
        source: the name of the source in messages.
    """

    option: str
    value: Any
    words: str
    source: str


class Names(NamedTuple):
    """An option by its name in files of another program.

    Attributes:
        theirs: name there; in configuration files with the section, as in ``model.dim``.
        ours: name here.
        convert: converts a value; raises ValueError for one that makes no sense.
    """

    theirs: str
    ours: str
    convert: Callable[[Any], Any] = lambda value: value


def whole(value: Any) -> int:
    """A whole number, also if it is written as 7.0.

    Raises:
        ValueError: it is none.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) <= LARGEST or value % 1 > 0:
        raise ValueError("a whole number")
    return int(value)


def number(value: Any) -> float:
    """A number.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) < 1e9:
        raise ValueError("a number")
    return float(value)


def wholes(value: Any) -> tuple[int, ...]:
    """Whole numbers.

    Raises:
        ValueError: the value is not a list of them.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of whole numbers")
    return tuple(map(whole, value))


def ratios(value: Any) -> tuple[float, ...]:
    """Numbers between 0 and 1.

    Raises:
        ValueError: the value is not a list of them.
    """
    is_list = isinstance(value, (list, tuple))
    if not is_list or not all(isinstance(x, (int, float)) and 0 <= x <= 1 for x in value):
        raise ValueError("a list of numbers from 0 to 1")
    return tuple(map(float, value))


def channels(stereo: Any) -> int:
    """Audio channels from whether a network is stereo.

    Raises:
        ValueError: the value is not true or false.
    """
    if not isinstance(stereo, bool):
        raise ValueError("true or false")
    return 1 + stereo


def stated(values: Mapping[str, Any], names: Iterable[Names], source: str) -> list[Statement]:
    """The options that a file states.

    Args:
        values: its values by their names there.
        names: these names and ours.
        source: the file in messages, e.g. ``--config``.

    Raises:
        ConfigError: a value makes no sense.
    """
    found = []
    for theirs, ours, convert in names:
        value = values.get(theirs)
        if value is None:
            continue
        try:
            converted = convert(value)
        except ValueError as error:
            raise ConfigError(source, [f"{theirs} must be {error}, found {shown(value)}"]) from None
        found.append(Statement(ours, converted, f"{theirs} is {shown(value)}", source))
    return found


def combined(seen: Mapping[str, Any], *statements: Iterable[Statement]) -> dict[str, Any]:
    """Options that the tensors tell, and those that are stated.

    Args:
        seen: options by names and shapes of the tensors.
        statements: what is stated, by each source.

    Raises:
        ConfigError: a statement contradicts the tensors or another one.
    """
    config = dict(seen)
    by = dict.fromkeys(seen, "the tensors are those of")
    for statement in (each for source in statements for each in source):
        known = config.setdefault(statement.option, statement.value)
        if _plain(known) != _plain(statement.value):
            other = f"{by[statement.option]} {setting_of(statement.option, known)}"
            raise ConfigError(statement.source, [f"{statement.words}, but {other}"])
        by.setdefault(statement.option, f"{statement.source} says")
    return config


def chosen(options: Mapping[str, Any]) -> list[Statement]:
    """What the user states."""
    return [
        Statement(name, value, f"it is {shown(value)}", option(name))
        for name, value in options.items()
        if value is not None
    ]


def setting_of(name: str, value: Any) -> str:
    """An option and its value in a message."""
    return f"{name} {shown(_plain(value))}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def required(config: Mapping[str, Any], usual: Mapping[str, Any], origin: Path) -> None:
    """Refuse to guess options that only a configuration file tells.

    Args:
        config: options that are known.
        usual: options that must be known, and their usual values; None for those without one.
        origin: the checkpoint.

    Raises:
        ConfigError: one is unknown.
    """
    for name, value in usual.items():
        if name not in config:
            file = setting(config=f"{origin.stem}.yaml")
            hint = "" if value is None else f", or {setting(**{name: value})}, which is usual"
            raise ConfigError(
                option("config"),
                [f"the tensors of {origin.name} do not tell {name}: add {file}{hint}"],
            )


def shape(shapes: Shapes, name: str, axes: int) -> Shape:
    """Shape of a tensor, checked to have ``axes`` axes, none of them empty.

    Raises:
        CheckpointError: there is no such tensor.
    """
    found = shapes.get(name, ())
    if len(found) != axes or 0 in found:
        why = f"{shortened(name)} is {found}" if name in shapes else f"there is no {name}"
        raise CheckpointError(
            f"The tensors are not those of a network that can be converted ({why}). "
            "Download the checkpoint again"
        )
    return found


def count(names: Iterable[str], prefix: str) -> int:
    """Number of numbered parts under ``prefix``."""
    parts = (name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix))
    return len({part for part in parts if part.isdecimal()})


def stem_name(text: str) -> str:
    """Name of a stem from a name in a file: lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def named_stems(
    number: int, choices: Choices, origin: Path, known: Sequence[Sequence[str]] = ()
) -> tuple[str, ...]:
    """Names for the stems of a network: the user's, those of the configuration, or usual ones.

    Args:
        number: stems that the network gives.
        choices: what is stated.
        origin: the checkpoint.
        known: usual names, by their number.

    Raises:
        ConfigError: there are no names, or of another number.
    """
    usual = next((each for each in known if len(each) == number), ())
    stems = choices.stems or tuple(map(stem_name, choices.settings.stems)) or tuple(usual)
    if len(stems) == number:
        return stems
    flag = option("stems", "--stem")
    if stems:
        source = flag if choices.stems else option("config")
        names = ", ".join(stems)
        raise ConfigError(source, [f"{names}: {len(stems)} names, but {number} stems in the file"])
    file = shell_or_python("--config FILE.yaml", "config=PATH")
    raise ConfigError(
        flag, [f"{origin.name} does not name its {number} stems: name each, or add {file}"]
    )


def residual_of(stems: Sequence[str], choices: Choices) -> str:
    """Usual name of the rest: by the configuration, or ``no_STEM``; empty for several stems."""
    if len(stems) > 1:
        return ""
    named = stem_name(choices.settings.rest)
    return named if named and named not in stems else f"no_{stems[0]}"


def chunk_overlap(settings: Settings) -> float | None:
    """Overlap as a fraction of a chunk, from the number of chunks that cover a sample."""
    number = settings.values.get("inference.num_overlap")
    if number is None:
        return None
    try:
        chunks = whole(number)
    except ValueError:
        chunks = 0
    if chunks < 1:
        mistake = f"inference.num_overlap must be a whole number above 0, found {shown(number)}"
        raise ConfigError(option("config"), [mistake])
    return min(round(1 - 1 / chunks, 6), MOST_OVERLAP)


def from_msst(settings: Settings) -> dict[str, Any]:
    """How Music-Source-Separation-Training separates, for :class:`ForeignNetwork`."""
    overlap = chunk_overlap(settings)
    is_leveled = settings.values.get("inference.normalize") is True
    return {
        "overlap": 0.5 if overlap is None else overlap,
        "grid": "msst",
        "level": "standard" if is_leveled else None,
    }


def constants_of(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Shapes of the window of the STFT, and of batch counters that older files lack."""
    shapes = shapes_of(tensors)
    norms = (name for name in shapes if name.endswith("running_mean"))
    counters = {name.replace("running_mean", "num_batches_tracked"): () for name in norms}
    window: dict[str, Shape] = {"fourier.window": (config["window_size"],)}
    return window | {name: each for name, each in counters.items() if name not in shapes}
