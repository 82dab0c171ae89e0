"""Which networks may stand after ``--model``, and which after ``--phase-model``."""

from __future__ import annotations

import shlex

from model_zoo.errors import UsageError
from model_zoo.separator import Role

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
