"""Loads models for the engine and checks that each is used in its role."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_zoo import weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import find
from model_zoo.catalogue.install import require_finished
from model_zoo.catalogue.names import is_path
from model_zoo.catalogue.resolve import resolve_weights
from model_zoo.errors import UsageError
from model_zoo.files import sha256
from model_zoo.grids import Grid, Level
from model_zoo.option_names import setting, subject
from model_zoo.separator import Role, Separator


def load_model(name: str) -> LoadedModel:
    """Load a model of the zoo, the best weights of a run, or the weights in a file.

    Args:
        name: name of a model, folder of a run, or ``.safetensors`` file.

    Raises:
        UnknownNameError: the zoo has no such model; the message suggests the nearest name.
        NoModelError: the network has no weights or cannot separate yet, or the run or file does
            not exist.
        WeightsError: the file is damaged or was changed.
    """
    path = resolve_weights(name)
    if is_path(name):
        content = weights.read(path)
        require_finished(content.metadata, name)
        called = Path(name).resolve().name if Path(name).is_dir() else path.stem
        residual = content.metadata.get("residual", "")
        return LoadedModel(called, weights.build(path, content), residual, sha256=sha256(path))
    card = find(name)
    return LoadedModel(
        name,
        resolve.load(path),
        card.residual,
        card.overlap,
        card.sha256,
        card.better,
        card.grid,
        card.level,
    )


GIVES: dict[Role, str] = {
    "stems": "separates songs and does not predict a phase",
    "phase": "predicts a phase and does not separate songs",
    "codes": "encodes audio into codes and does not separate songs",
}
OPTIONS: dict[Role, str] = {"stems": "model", "phase": "phase_model"}
"""Field of the options that takes a network of each role."""


def use_of(model: str, role: Role) -> str:
    """The command that uses a network of a role.

    Args:
        model: name or file, quoted for a shell.
        role: role of the network.
    """
    return {
        "stems": f"stem separate SONG --model {model}",
        "phase": f"stem separate SONG --phase-model {model}",
        "codes": f"stem models info {model}",
    }[role]


def require_role(name: str, role: Role, required: Role) -> None:
    """Refuse a network whose role does not fit the option.

    Args:
        name: name of the model, as the user gave it.
        role: role of the network.
        required: role that the option takes.

    Raises:
        UsageError: the roles differ; the message names the right option or how to choose.
    """
    if role == required:
        return
    if role in OPTIONS:
        advice = f"Use {setting(**{OPTIONS[role]: name})}"
    else:
        advice = "Choose another (see: stem models list)"
    chosen = subject(OPTIONS[required], name)
    raise UsageError(f"{chosen}: this network {GIVES[role]}. {advice}")


@dataclass(frozen=True)
class LoadedModel:
    """A separator and the defaults on its card.

    Attributes:
        name: as the user gave it.
        separator: the network.
        residual: name of the mixture minus all stems; empty if the stems are a full set.
        overlap: recommended overlap, as a fraction of a chunk.
        sha256: checksum of the weights file.
        better: names of models that separate most songs better.
        own_grid: grid of chunks on the card; None if the card does not say.
        own_level: level on the card; None if the card does not say.
    """

    name: str
    separator: Separator
    residual: str = ""
    overlap: float = 0.25
    sha256: str = ""
    better: tuple[str, ...] = ()
    own_grid: Grid | None = None
    own_level: Level | None = None

    @property
    def grid(self) -> Grid:
        """How a song is cut into chunks: as the card says, else as the architecture does."""
        return self.own_grid or self.separator.grid

    @property
    def level(self) -> Level:
        """Level of a whole song that the network needs, by the card or else the architecture."""
        return self.own_level or self.separator.level

    @property
    def outputs(self) -> tuple[str, ...]:
        """The stems of the network, and the residual if there is one."""
        return (*self.separator.stems, *((self.residual,) if self.residual else ()))
