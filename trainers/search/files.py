"""The search spaces that come with the program, and reading of any."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from model_zoo import registry
from model_zoo.errors import ConfigError
from model_zoo.plain import read_text
from model_zoo.yaml import parse_yaml
from trainers.config import Recipe
from trainers.search.space import Space, bind

COMMON = "common"
"""Name of the space that lies under those of all architectures."""

SPACES = resources.files(__name__.rpartition(".")[0]) / "spaces"


def space_text(architecture: str, file: str = "") -> str:
    """What a space file says.

    Args:
        architecture: whose own space is read where no file is named.
        file: a YAML file.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: there is no such file, or it cannot be read.
    """
    registry.architecture(architecture)
    if not file:
        return _own_text(architecture)
    try:
        return read_text(Path(file))
    except OSError as error:
        raise ConfigError(f"--space {file}", [f"it cannot be read ({error.strerror})"]) from error
    except ValueError as error:
        raise ConfigError(f"--space {file}", [f"it is not a short text: {error}"]) from error


def _own_text(architecture: str) -> str:
    """What all spaces have in common, under what is said of this architecture alone."""
    merged: dict[str, Any] = {}
    for name in (architecture, COMMON):
        if (place := SPACES / f"{name}.yaml").is_file():
            merged = {**parse_yaml(name, place.read_text("utf-8")), **merged}
    return yaml.safe_dump(merged, sort_keys=False)


def read_space(text: str, where: str, base: Recipe, *, own: bool) -> Space:
    """Lay the space of a file over a recipe.

    Args:
        text: what the file says.
        where: what to call it.
        base: the recipe.
        own: whether the file comes with the program.

    Raises:
        ConfigError: it has mistakes; all of them are named.
    """
    values: Any = parse_yaml(where, text)
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(where, ["it must map categories to keys of a recipe"])
    return bind(values, where, base, own=own)
