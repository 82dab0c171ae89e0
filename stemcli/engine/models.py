"""Loads models for the engine and checks that they have the role they are used in."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from model_zoo import weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import find
from model_zoo.catalogue.install import require_finished
from model_zoo.catalogue.resolve import is_path, resolve_weights
from model_zoo.errors import UsageError
from model_zoo.files import sha256
from model_zoo.separator import Role, Separator


def load_model(name: str) -> LoadedModel:
    """A model of the zoo, the best weights of a run, or those of a file.

    Args:
        name: of a model, else the folder of a run or a ``.safetensors`` file.

    Raises:
        UnknownNameError: the zoo has no such model; the nearest name is offered.
        NoModelError: it is a network without weights or one that cannot separate yet, or there is
            no such run or file.
        WeightsError: its file is damaged or changed.
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
        name, resolve.load(path), card.residual, card.overlap, card.sha256, card.better
    )


GIVES: dict[Role, str] = {
    "stems": "takes songs apart and gives no sound a phase",
    "phase": "gives a sound a phase and takes no song apart",
    "codes": "puts a sound into codes and takes no song apart",
}
OPTIONS: dict[Role, str] = {"stems": "--model", "phase": "--phase-model"}
"""After what a network of a role is typed."""


def use_of(model: str, role: Role) -> str:
    """The command that uses a network of a role.

    Args:
        model: its name or file, as a shell reads it.
        role: what the network gives.
    """
    return {
        "stems": f"stem separate SONG --model {model}",
        "phase": f"stem separate SONG --phase-model {model}",
        "codes": f"stem models info {model}",
    }[role]


def require_role(name: str, role: Role, wanted: Role) -> None:
    """Refuse a network in the place of another kind.

    Args:
        name: as it was typed.
        role: what the network gives.
        wanted: what is asked for in this place.

    Raises:
        UsageError: says where the network belongs, or what to choose instead.
    """
    if role == wanted:
        return
    belongs = f"type {OPTIONS[role]} {shlex.quote(name)}" if role in OPTIONS else "choose another"
    others = "" if role in OPTIONS else " (see: stem models list)"
    raise UsageError(f"{OPTIONS[wanted]} {name}: this network {GIVES[role]}: {belongs}{others}")


@dataclass(frozen=True)
class LoadedModel:
    """A separator with what its card says of its use.

    Attributes:
        name: as the user typed it.
        separator: the network.
        residual: name of the mixture minus all stems; empty when the stems are a full set.
        overlap: fraction of a chunk that suits this model.
        sha256: of the file with its weights.
        better: names of models that separate most songs better.
    """

    name: str
    separator: Separator
    residual: str = ""
    overlap: float = 0.25
    sha256: str = ""
    better: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The stems of the network, and the residual."""
        return (*self.separator.stems, *((self.residual,) if self.residual else ()))
