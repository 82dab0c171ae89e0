"""Checkpoints, choices and networks: the types that importers of all families share.

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
from model_zoo.errors import CheckpointError, ConfigError, MisfitError
from model_zoo.grids import Grid, Level
from model_zoo.importers.settings import Settings
from model_zoo.importers.statements import whole
from model_zoo.option_names import option, shell_or_python
from model_zoo.parsing import shortened, shown
from model_zoo.weight_checks import Shape, shapes_of

Tensors = dict[str, Tensor]
Shapes = Mapping[str, Shape]


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


def not_convertible(why: str) -> CheckpointError:
    """The error for tensors of no network that can be converted."""
    return MisfitError(
        f"The tensors are not those of a network that can be converted ({why}). "
        "Download the checkpoint again"
    )


def shape(
    shapes: Shapes,
    name: str,
    axes: int,
    error: Callable[[str], CheckpointError] = not_convertible,
) -> Shape:
    """Shape of a tensor, checked to have ``axes`` axes, none of them empty.

    Args:
        shapes: of all tensors.
        name: of the tensor.
        axes: number of its axes.
        error: makes the error from what is wrong.

    Raises:
        CheckpointError: there is no such tensor.
    """
    found = shapes.get(name, ())
    if len(found) != axes or 0 in found:
        raise error(f"{shortened(name)} is {found}" if name in shapes else f"there is no {name}")
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
        raise ConfigError(source, [f"the file has {number} stem{'s'[: number - 1]}, not {names}"])
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
    return min(1 - 1 / chunks, MOST_OVERLAP)


def msst_network(
    architecture: str,
    config: Mapping[str, Any],
    tensors: Tensors,
    stems: Sequence[str],
    choices: Choices,
) -> ForeignNetwork:
    """A network that is used as Music-Source-Separation-Training does.

    Args:
        architecture: its architecture.
        config: its options but for the stems.
        tensors: its tensors under our names.
        stems: names of its stems.
        choices: what is stated.

    Raises:
        ConfigError: the configuration file states an impossible overlap.
    """
    complete = {**config, "stems": list(stems)}
    overlap = chunk_overlap(choices.settings)
    is_leveled = choices.settings.values.get("inference.normalize") is True
    return ForeignNetwork(
        architecture,
        complete,
        tensors,
        constants_of(complete, tensors),
        residual=residual_of(stems, choices),
        overlap=0.5 if overlap is None else overlap,
        grid="msst",
        level="standard" if is_leveled else None,
    )


def constants_of(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Shapes of the window of the STFT, and of batch counters that older files lack."""
    shapes = shapes_of(tensors)
    norms = (name for name in shapes if name.endswith("running_mean"))
    counters = {name.replace("running_mean", "num_batches_tracked"): () for name in norms}
    window: dict[str, Shape] = {"fourier.window": (config["window_size"],)}
    return window | {name: each for name, each in counters.items() if name not in shapes}
