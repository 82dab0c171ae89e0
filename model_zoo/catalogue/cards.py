"""Cards: what is known about one set of trained weights, kept as TOML beside them.

A card is a TOML file named after the model. Bundled cards travel inside the package, the user's own
lie in :func:`zoo_home` beside their weights. Nothing here imports torch, so that listing models is
quick.
"""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_zoo import parsing
from model_zoo.config import Config
from model_zoo.errors import (
    CheckpointError,
    ChecksumError,
    ConfigError,
    OutputError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from model_zoo.files import SUFFIX, data_folder, sha256
from model_zoo.parsing import read_toml, shortened

BUNDLED = Path(__file__).with_name("bundled")
DEFAULT_MODEL = "spleeter_2stems"
"""What separates where no model is named."""

HOME_VARIABLE = "STEM_HOME"
SEE_LIST = "stem models list"
MOST_OVERLAP = 0.95
"""At which every sample is separated twenty times."""

NAME_RULE = re.compile(r"[a-z0-9][a-z0-9._-]*")
SHA256_RULE = re.compile(r"[0-9a-f]{64}|")


@dataclass(frozen=True)
class CardScore(Config):
    """One measured number and what it means.

    Attributes:
        dataset: what it was measured on.
        stem: which stem.
        metric: e.g. ``"SDR"``; in dB unless the definition says otherwise.
        definition: how the metric was computed, in words.
        value: the number.
    """

    dataset: str
    stem: str
    metric: str
    definition: str
    value: float

    def mistakes(self) -> list[str]:
        """An undefined score is left out of a card, not written down."""
        return [] if math.isfinite(self.value) else [f"{self.metric} of {self.stem} is not finite"]


@dataclass(frozen=True)
class SpeedRecord(Config):
    """How fast a model was on one machine.

    Attributes:
        machine: processor and cores, or the GPU.
        precision: what the network computed with.
        definition: how it was measured, in words.
        times_real_time: seconds of sound separated in a second.
        start_seconds: from nothing to a network that is ready.
        memory: most that the process held at once, in bytes; 0 where the system does not say.
        gpu_memory: the same on the GPU; 0 where there was none.
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
    """What is known of one set of weights.

    Attributes:
        name: what the user types after ``--model``.
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        description: one sentence.
        stems: what the network gives, in order.
        residual: name of mixture minus all stems; empty when the stems are already everything.
        sample_rate: of the network, in Hz.
        licence: of the weights, as their source states it; never guessed.
        licence_file: name of the file beside the card with the text of that licence.
        authors: who trained them.
        source: who made them, or where they come from.
        paper: the publication that describes the network.
        training_data: what they learned from.
        limits: what they do badly.
        better: names of models that separate most songs better.
        url: where they were fetched from, pinned to a revision.
        file: name of the safetensors file beside the card.
        size: of that file, in bytes.
        sha256: of that file, in lower-case hexadecimal.
        parameters: trainable values of the network.
        overlap: fraction of a chunk that the next chunk repeats, unless the user says otherwise.
        scores: what was measured of the stems.
        speeds: what was measured of the work.
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
    scores: tuple[CardScore, ...] = ()
    speeds: tuple[SpeedRecord, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Everything a user gets: the stems, then the residual when it has a name."""
        return (*self.stems, self.residual) if self.residual else self.stems

    def mistakes(self) -> list[str]:
        """Contradictions between the fields."""
        return [sentence for wrong, sentence in self._rules() if wrong]

    def _rules(self) -> Iterator[tuple[bool, str]]:
        yield not NAME_RULE.fullmatch(self.name), _name_mistake(self.name)
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
        """The text that :meth:`from_toml` reads back."""
        return parsing.dumps(self.to_dict())

    @classmethod
    def from_toml(cls, path: Path) -> Card:
        """Read a card.

        Raises:
            CheckpointError: the file is not a card; the sentence says why.
        """
        try:
            card = cls.from_dict(read_toml(path))
        except (OSError, ValueError, ConfigError) as error:
            why = shortened(str(error), 500)
            raise CheckpointError(
                f"The card {path} cannot be used ({why}). Repair or remove it"
            ) from error
        if card.name != path.stem:
            names = map(shlex.quote, (str(path), str(path.with_name(f"{card.name}.toml"))))
            raise CheckpointError(
                f"The card {path} calls itself {card.name!r}. Try: mv {' '.join(names)}"
            )
        return card


def zoo_home() -> Path:
    """The user's zoo: the folder that STEM_HOME names, else the platform's folder for data."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else data_folder()


def cards(on_damage: Callable[[CheckpointError], None]) -> dict[str, Card]:
    """Every card, bundled ones first; a user's card cannot take a bundled name.

    Args:
        on_damage: told of each card that cannot be used; the others are returned.
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
        UnknownNameError: there is none; the nearest name is offered.
        CheckpointError: the card is damaged.
    """
    return Card.from_toml(card_path(name))


def card_path(name: str) -> Path:
    """Where the card called ``name`` lies; its weights lie beside it.

    Raises:
        UnknownNameError: there is none.
    """
    files = _card_files()
    if name not in files:
        raise UnknownNameError("model", name, files, hint=SEE_LIST)
    return files[name]


def is_known(name: str) -> bool:
    """Whether there is a model of that name, also one whose card is damaged."""
    return name in _card_files()


def is_bundled(name: str) -> bool:
    """Whether ``name`` belongs to a model that travels inside the package."""
    return (BUNDLED / f"{name}.toml").is_file()


def check_new_name(name: str, option: str = "--name") -> None:
    """Refuse a name that a user's model cannot have.

    Args:
        name: of a model to be.
        option: after which the name was typed.

    Raises:
        ConfigError: it is bundled already, or would not do as a file name.
    """
    if is_bundled(name):
        raise ConfigError(option, [f"{name!r} is bundled. Type another, e.g. {option} my-{name}"])
    if not NAME_RULE.fullmatch(name):
        raise ConfigError(option, [_name_mistake(name)])


def _card_files() -> dict[str, Path]:
    bundled, own = (sorted(folder.glob("*.toml")) for folder in (BUNDLED, zoo_home()))
    return {path.stem: path for path in bundled} | {
        path.stem: path for path in own if not is_bundled(path.stem)
    }


def _can_be_listed(stem: str) -> bool:
    """Whether the name survives a list with commas, as in ``--stems vocals,drums``."""
    return "," not in stem and stem == stem.strip()


def _name_mistake(name: str) -> str:
    return f"a name has lower-case letters, digits and . _ -, found {name!r}"


@dataclass(frozen=True)
class State:
    """One model: where its weights lie, or one sentence about what is wrong with them."""

    name: str
    path: str
    problem: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``ok`` says whether nothing is wrong."""
        return {**asdict(self), "ok": not self.problem}


def is_installed(card: Card) -> bool:
    """Whether the file is there, by name and size; :func:`state` reads it too."""
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
    """Delete a model of the user's, also one whose card is damaged; return what was deleted.

    Raises:
        UnknownNameError: there is no such model.
        UsageError: it came with the program.
        OutputError: the file system refuses.
    """
    card = card_path(name)
    if is_bundled(name):
        raise UsageError(f"{name!r} came with stem and stays. Yours are in: stem models list")
    files = [path for path in (_weights_named_by(card), card) if path.is_file()]
    try:
        for path in files:
            path.unlink()
    except OSError as error:
        raise OutputError(f"Cannot remove {error.filename} ({error.strerror})") from error
    return files


def _weights_named_by(card: Path) -> Path:
    """Only ever a file beside the card, whatever a damaged card says."""
    try:
        file = str(read_toml(card)["file"])
    except (KeyError, OSError, ValueError):
        file = ""
    return card.with_name(Path(file).name or f"{card.stem}.safetensors")


def verify(card: Card) -> Path:
    """Where the weights of ``card`` lie, after comparing their content with the card.

    Raises:
        CheckpointError: there is no such file.
        ChecksumError: size or SHA-256 differ.
    """
    path = card_path(card.name).with_name(card.file or card.name + SUFFIX)
    if not path.is_file():
        raise CheckpointError(
            f"The weights of {card.name!r} are not at {path}. "
            f"Try: stem models convert CHECKPOINT --name {card.name}"
        )
    size = path.stat().st_size
    if size != card.size:
        raise _changed(card, path, f"{size} bytes instead of {card.size}")
    if sha256(path) != card.sha256:
        raise _changed(card, path, "another SHA-256")
    return path


def _changed(card: Card, path: Path, how: str) -> ChecksumError:
    return ChecksumError(
        f"{path} has {how}, so it is not what the card of {card.name!r} describes. "
        f"Remove it and install {card.name!r} again"
    )
