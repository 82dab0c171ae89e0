"""Names of models: which ones a user's model can have, and which words are paths instead.

This module does not import torch, so that names are checked before a network is loaded.
"""

from __future__ import annotations

import os
from pathlib import Path

from model_zoo.catalogue.cards import (
    NAME_RULE,
    is_bundled,
    is_known,
    is_settings,
    name_mistake,
    zoo_home,
)
from model_zoo.catalogue.public import find_preset, find_public
from model_zoo.errors import ConfigError
from model_zoo.files import SUFFIX, is_reserved_on_windows
from model_zoo.option_names import option, setting, shell_or_python

ENDINGS = (SUFFIX, ".pth", ".pt", ".ckpt", ".th")
"""Suffixes of weights files; a name that ends so is a path, even if the file does not exist."""


def is_path(name: str) -> bool:
    """Whether a name is a path; names of models take precedence over folders."""
    if not name or is_known(name):
        return False
    path = Path(name)
    return path.exists() or path.suffix in ENDINGS or any(mark in name for mark in ("/", os.sep))


def catalogue_name(name: str) -> str:
    """The name that the catalogue has for a public network or preset, e.g. for ``955717e8``.

    Other programs call them otherwise. Names of installed models, files that exist and names that
    no public network has stay as they are.
    """
    if is_known(name) or os.path.exists(name):
        return name
    found = find_public(name) or find_preset(name)
    return found.name if found else name


def as_typed(run: Path) -> str:
    """Path of a run for a command line, unambiguous even if a model has its name."""
    return f"./{run}" if is_known(str(run)) else str(run)


def check_new_name(name: str, field: str = "name") -> None:
    """Refuse a name that a user's model cannot have.

    Args:
        name: name for a new model.
        field: the parameter with the name, for the message.

    Raises:
        ConfigError: a bundled model has this name, or it is not a valid file name.
    """
    mistake = _new_name_mistake(name, field)
    if mistake:
        raise ConfigError(option(field), [mistake])


def check_free(name: str, overwrite: bool = False, field: str = "name") -> None:
    """Refuse a name that is bundled, invalid or, without ``overwrite``, taken.

    Args:
        name: name for a new model.
        overwrite: whether a model of the user may be replaced.
        field: the parameter with the name, for the message.

    Raises:
        ConfigError: the name is refused.
    """
    check_new_name(name, field)
    if not overwrite and (zoo_home() / f"{name}.toml").exists():
        add = shell_or_python("--overwrite", "overwrite=True")
        problem = f"{name!r} is in your zoo already. Use another name, or add {add}"
        raise ConfigError(option(field), [problem])


def _new_name_mistake(name: str, field: str) -> str:
    if is_bundled(name):
        another = shell_or_python(setting(**{field: f"my-{name}"}), f"my-{name}")
        return f"{name!r} is a bundled model. Use another name, e.g. {another}"
    if not NAME_RULE.fullmatch(name):
        return name_mistake(name)
    if is_reserved_on_windows(name) or name.endswith("."):
        return f"{name!r} is not a valid file name on Windows. Use another, e.g. my-model"
    if is_settings(zoo_home() / f"{name}.toml"):
        return f"{name!r} names the file of your settings. Use another, e.g. my-{name}"
    return ""
