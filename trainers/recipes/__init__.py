"""The recipes that come with the program, and reading of any.

A recipe may name another as its ``base`` and then only lists what differs; where it names another
architecture, nothing is inherited of the network's options. ``--set a.b=value`` changes single
values. The ``recipe.json`` of a run is a recipe too: JSON is YAML.

Every architecture has two recipes: ``NAME`` in full size, and ``tune-NAME`` as one trial of a
search. Where there is no file, they are ``melroformer`` and ``tune-melroformer`` with another
network, of the architecture's own size and of its smallest.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from model_zoo import registry
from model_zoo.errors import ConfigError, UnknownNameError
from model_zoo.plain import read_text
from model_zoo.yaml import parse_change, parse_yaml
from trainers.config import Recipe

TRIAL = "tune-"
"""What the name of a recipe begins with that is one trial of a search."""


def recipe_names() -> list[str]:
    """Names of the recipes that come with the program."""
    folder = resources.files(__name__)
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def load_recipe(name: str, changes: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by name or file and apply ``key.key=value`` changes.

    Raises:
        UnknownNameError: no such recipe.
        ConfigError: the file cannot be read, its bases lead back to itself, or it has unknown keys
            or contradictory values.
    """
    values = _with_bases(str(Path(name).resolve()) if _is_file_name(name) else name)
    _apply_all(values, changes)
    values["name"] = values.get("name") or Path(name).stem
    return check_recipe(values, f"recipe {name}")


def check_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of these values.

    Args:
        values: what a file says.
        where: what to call it in a sentence.

    Raises:
        ConfigError: all of its mistakes in one breath.
    """
    from trainers.recipes.names import unknown_names

    unknown = unknown_names(values)
    try:
        recipe = Recipe.from_dict(values)
    except ConfigError as error:
        raise ConfigError(where, error.mistakes + unknown) from error
    if unknown:
        raise ConfigError(where, unknown)
    return recipe


def _read(name: str) -> dict[str, Any]:
    where = f"recipe {name}"
    usual = _usual(name)
    if usual:
        return usual
    try:
        values = parse_yaml(where, _text(_find(name)))
    except OSError as error:
        names = ", ".join(recipe_names())
        mistake = f"it cannot be read ({error.strerror}). Type --recipe with a file, or {names}"
        raise ConfigError(where, [mistake]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(where, [f"it is no text: {error}"]) from error
    except ValueError as error:
        raise ConfigError(where, [str(error)]) from error
    if not isinstance(values, dict):
        raise ConfigError(where, ["it must be a mapping of keys to values"])
    return values


def _usual(name: str) -> dict[str, Any]:
    """The recipe of an architecture that has no file of this name; empty for other names."""
    architecture = name.removeprefix(TRIAL)
    if architecture not in registry.ARCHITECTURES or name in recipe_names():
        return {}
    size = registry.architecture(architecture).sizes.small if name.startswith(TRIAL) else {}
    base = f"{TRIAL if name.startswith(TRIAL) else ''}melroformer"
    return {"base": base, "model": {"architecture": architecture, "options": dict(size)}}


def _text(place: Traversable) -> str:
    return read_text(place) if isinstance(place, Path) else place.read_text("utf-8")


def _find(name: str) -> Traversable:
    if _is_file_name(name):
        return Path(name)
    if name not in recipe_names() and Path(name).is_file():
        raise ConfigError(f"recipe {name}", ["the name of a recipe's file ends in .yaml or .json"])
    if name not in recipe_names():
        raise UnknownNameError("recipe", name, recipe_names(), "stem train --help", few=True)
    return resources.files(__name__) / f"{name}.yaml"


def _is_file_name(name: str) -> bool:
    return Path(name).suffix in {".yaml", ".yml", ".json"}


def _with_bases(name: str, heirs: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values of a recipe over those of its base; a base's path starts where the recipe lies."""
    if name in heirs:
        raise ConfigError(f"recipe {name}", ["its bases lead back to itself"])
    values = _read(name)
    base = values.pop("base", "")
    if not isinstance(base, str):
        raise ConfigError(f"recipe {name}", [f"base must be a name or a file, found {base!r}"])
    if not base:
        return values
    if _is_file_name(base) and _is_file_name(name):
        base = str((Path(name).parent / base).resolve())
    inherited = _with_bases(base, (*heirs, name))
    inherited.pop("name", None)
    if _architecture(values, _architecture(inherited)) != _architecture(inherited):
        inherited["model"] = {**inherited["model"], "options": {}}
    return _merge(inherited, values)


def _architecture(values: Mapping[str, Any], default: Any = None) -> Any:
    """The architecture that a recipe names."""
    model = values.get("model")
    return model.get("architecture", default) if isinstance(model, Mapping) else default


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _apply_all(values: dict[str, Any], changes: tuple[str, ...]) -> None:
    mistakes: list[str] = []
    for change in changes:
        try:
            apply_change(values, change)
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError("--set", mistakes)


def apply_change(values: dict[str, Any], change: str) -> None:
    """Put what was typed as ``--set key.key=value`` into the values of a recipe.

    Raises:
        ConfigError: it cannot be understood.
    """
    path, value = parse_change(change, "loop.batch_size=8")
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError("--set", [f"{path}: {parent} holds a value, not keys"])
    values[last] = value
