"""Cards of models: TOML files that describe trained weights.

A card is named after its model and stored beside the weights: bundled ones in the package, the
user's own in :func:`zoo_home`. This module does not import torch, so that listing models is fast.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_zoo import parsing
from model_zoo.catalogue.public import public_models
from model_zoo.catalogue.scores import CardScore
from model_zoo.catalogue.unknown import unknown_model
from model_zoo.config import Config
from model_zoo.errors import (
    CheckpointError,
    ChecksumError,
    ConfigError,
    OutputError,
    UsageError,
    WeightsError,
)
from model_zoo.files import (
    SETTINGS_NAME,
    SETTINGS_VARIABLE,
    SUFFIX,
    data_folder,
    settings_file,
    sha256,
)
from model_zoo.grids import Grid, Level
from model_zoo.option_names import convert_command
from model_zoo.parsing import read_toml, shortened
from model_zoo.shell import quoted

BUNDLED = Path(__file__).with_name("bundled")
DEFAULT_MODEL = "spleeter_2stems"
"""Model that is used if none is named."""

HOME_VARIABLE = "STEM_HOME"
MOST_OVERLAP = 0.95
"""Largest overlap; every sample is then separated twenty times."""

NAME_RULE = re.compile(r"[a-z0-9][a-z0-9._-]*")
SHA256_RULE = re.compile(r"[0-9a-f]{64}|")


@dataclass(frozen=True)
class SpeedRecord(Config):
    """Speed and memory of a model on one machine.

    Attributes:
        machine: processor and cores, or the GPU.
        precision: precision of the network.
        definition: how it was measured, in words.
        times_real_time: seconds of audio separated per second.
        start_seconds: time to start the program and load the network.
        memory: peak memory of the process in bytes; 0 if the system does not report it.
        gpu_memory: peak GPU memory in bytes; 0 without a GPU.
    """

    machine: str
    precision: str
    definition: str
    times_real_time: float
    start_seconds: float
    memory: int = 0
    gpu_memory: int = 0


@dataclass(frozen=True)
class Card(Config):
    """Description of one model: origin, licence, file and measurements of its weights.

    Attributes:
        name: name for ``--model``.
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        description: one sentence.
        stems: outputs of the network, in order.
        residual: name of mixture minus all stems; empty if the stems add up to the mixture.
        sample_rate: sample rate of the network, in Hz.
        licence: licence of the weights, as their source states it; never guessed.
        licence_file: name of the file beside the card with the text of that licence.
        authors: authors of the weights.
        source: origin of the weights.
        paper: publication that describes the network.
        training_data: data that the weights were trained on.
        limits: known weaknesses.
        better: names of models that separate most songs better.
        url: address of the weights, pinned to a revision.
        file: name of the safetensors file beside the card.
        size: size of that file, in bytes.
        sha256: SHA-256 of that file, in lower-case hexadecimal.
        parameters: number of trainable parameters.
        overlap: default overlap of chunks, as a fraction of a chunk.
        grid: how a song is cut into chunks and how these are joined; the architecture's if None.
        level: what a whole song is brought to before that; the architecture's if None.
        scores: measured separation quality.
        speeds: measured speed and memory.
    """

    name: str
    architecture: str
    description: str = ""
    stems: tuple[str, ...] = ()
    residual: str = ""
    sample_rate: int = 44100
    licence: str = "not stated"
    licence_file: str = ""
    authors: str = ""
    source: str = ""
    paper: str = ""
    training_data: str = ""
    limits: str = ""
    better: tuple[str, ...] = ()
    url: str = ""
    file: str = ""
    size: int = 0
    sha256: str = ""
    parameters: int = 0
    overlap: float = 0.25
    grid: Grid | None = None
    level: Level | None = None
    scores: tuple[CardScore, ...] = ()
    speeds: tuple[SpeedRecord, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """All outputs: the stems, then the residual if it has a name."""
        return (*self.stems, self.residual) if self.residual else self.stems

    def mistakes(self) -> list[str]:
        """Rules for the fields: conditions of mistakes and their messages."""
        return [sentence for wrong, sentence in self._rules() if wrong]

    def _rules(self) -> Iterator[tuple[bool, str]]:
        yield not NAME_RULE.fullmatch(self.name), name_mistake(self.name)
        yield not self.stems, "stems must name at least one stem"
        yield len(set(self.outputs)) < len(self.outputs), "two outputs have the same name"
        odd = next((name for name in self.outputs if not _can_be_listed(name)), "")
        yield odd != "", f"a stem's name has no comma and no space around it, found {odd!r}"
        yield "" in self.outputs, "a stem needs a name"
        yield self.sample_rate < 1, f"sample_rate must be positive, found {self.sample_rate}"
        yield (
            not 0 <= self.overlap <= MOST_OVERLAP,
            f"overlap must be from 0 to {MOST_OVERLAP}, found {self.overlap}",
        )
        yield not SHA256_RULE.fullmatch(self.sha256), "sha256 must be 64 hexadecimal digits"
        for field, value in (("file", self.file), ("licence_file", self.licence_file)):
            yield Path(value).name != value, f"{field} must be a plain name, found {value!r}"

    def to_toml(self) -> str:
        """TOML text for :meth:`from_toml`."""
        values = {key: value for key, value in self.to_dict().items() if value is not None}
        return parsing.dumps(values)

    @classmethod
    def from_toml(cls, path: Path) -> Card:
        """Read a card.

        Raises:
            CheckpointError: the file is not a valid card; the message says why.
        """
        try:
            card = cls.from_dict(read_toml(path))
        except (OSError, ValueError, ConfigError) as error:
            why = shortened(str(error), 500)
            raise CheckpointError(
                f"The card {path} cannot be used ({why}). Repair or remove it"
            ) from error
        if card.name != path.stem:
            names = map(quoted, (str(path), str(path.with_name(f"{card.name}.toml"))))
            raise CheckpointError(
                f"The card {path} calls itself {card.name!r}. Try: mv {' '.join(names)}"
            )
        return card


def zoo_home() -> Path:
    """Folder of the user's zoo: STEM_HOME, or the platform's data folder."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else data_folder()


def cards(on_damage: Callable[[CheckpointError], None]) -> dict[str, Card]:
    """All cards, bundled ones first; the user's cards cannot have bundled names.

    Args:
        on_damage: called with the error of each card that cannot be used; the rest are returned.
    """
    found = {}
    for path in _card_files().values():
        try:
            found[path.stem] = Card.from_toml(path)
        except CheckpointError as error:
            on_damage(error)
    return found


def find(name: str) -> Card:
    """The card called ``name``.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
        CheckpointError: the card is damaged.
    """
    return Card.from_toml(card_path(name))


def card_path(name: str) -> Path:
    """Path of the card called ``name``; its weights are beside it.

    Raises:
        UnknownNameError: there is none.
    """
    files = _card_files()
    if name not in files:
        raise unknown_model(name, files)
    return files[name]


def card_names() -> list[str]:
    """Names of all models, bundled ones first, even if their cards are damaged."""
    return [*_card_files()]


def is_known(name: str) -> bool:
    """Whether a model has this name, even if its card is damaged."""
    return name in _card_files()


def is_bundled(name: str) -> bool:
    """Whether ``name`` is a bundled model."""
    return (BUNDLED / f"{name}.toml").is_file()


def _card_files() -> dict[str, Path]:
    bundled, own = (sorted(folder.glob("*.toml")) for folder in (BUNDLED, zoo_home()))
    return {path.stem: path for path in bundled} | {
        path.stem: path for path in own if not is_bundled(path.stem) and not is_settings(path)
    }


def is_settings(path: Path) -> bool:
    """Whether a file holds the settings: on macOS they and the zoo share a folder."""
    may_be = path.name == SETTINGS_NAME or SETTINGS_VARIABLE in os.environ
    return may_be and path.absolute() == settings_file().absolute()


def _can_be_listed(stem: str) -> bool:
    """Whether the name can stand in a list with commas, as in ``--stems vocals,drums``."""
    return "," not in stem and stem == stem.strip()


def name_mistake(name: str) -> str:
    """The sentence about a name that :data:`NAME_RULE` refuses."""
    return f"a name has lower-case letters, digits and . _ -, found {name!r}"


@dataclass(frozen=True)
class State:
    """State of one model.

    Attributes:
        name: its name.
        path: path of its weights; empty if there is a problem with them.
        problem: the problem in one sentence.
        published_as: the public network from whose files the weights were made, as their SHA-256
            shows; empty if they were not.
    """

    name: str
    path: str
    problem: str
    published_as: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``ok`` is true without a problem."""
        return {**asdict(self), "ok": not self.problem}


def is_installed(card: Card) -> bool:
    """Whether the weights exist, by name and size; :func:`state` checks their content too."""
    if not card.file:
        return False
    path = card_path(card.name).with_name(card.file)
    return path.is_file() and path.stat().st_size == card.size


def state(card: Card) -> State:
    """Compare the weights with the card."""
    try:
        return State(card.name, str(verify(card)), "")
    except WeightsError as error:
        return State(card.name, "", str(error))


def remove(name: str) -> list[Path]:
    """Delete a model of the user, even if its card is damaged; returns the deleted files.

    Raises:
        UnknownNameError: there is no such model.
        UsageError: it is bundled.
        OutputError: the files cannot be deleted.
    """
    card = card_path(name)
    if is_bundled(name):
        raise UsageError(
            f"{name!r} is a bundled model and cannot be removed. To see your own: stem models list"
        )
    files = [path for path in (_weights_named_by(card), card) if path.is_file()]
    try:
        for path in files:
            path.unlink()
    except OSError as error:
        raise OutputError(f"Cannot remove {error.filename} ({error.strerror})") from error
    return files


def _weights_named_by(card: Path) -> Path:
    """Path of the weights of a possibly damaged card; always beside the card."""
    try:
        file = str(read_toml(card)["file"])
    except (KeyError, OSError, ValueError):
        file = ""
    return card.with_name(Path(file).name or f"{card.stem}.safetensors")


def verify(card: Card) -> Path:
    """Path of the weights of a card, after comparing their content with the card.

    Raises:
        CheckpointError: there is no such file.
        ChecksumError: size or SHA-256 differ.
    """
    path = card_path(card.name).with_name(card.file or card.name + SUFFIX)
    if not path.is_file():
        raise CheckpointError(
            f"The weights of {card.name!r} are not at {path}. {_how_to_repair(card.name)}"
        )
    size = path.stat().st_size
    if size != card.size:
        raise _changed(card, path, f"{size} bytes instead of {card.size}")
    if sha256(path) != card.sha256:
        raise _changed(card, path, "another SHA-256")
    return path


def _how_to_repair(name: str) -> str:
    if name in public_models():
        return f"Try: stem models remove {name}, then: stem models pull {name}"
    return f"Try: {convert_command('CHECKPOINT', name)}"


def _changed(card: Card, path: Path, how: str) -> ChecksumError:
    return ChecksumError(
        f"{path} has {how}, so it is not what the card of {card.name!r} describes. "
        f"Remove it and install {card.name!r} again"
    )
