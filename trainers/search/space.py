"""Search spaces, read from YAML: the hyperparameters that a search varies.

A file maps categories to keys of a recipe, and those to a
:class:`~trainers.search.parameters.Domain`. Several keys before one colon share the drawn value. A
category may also list combinations of values under ``together``.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from model_zoo import registry
from model_zoo.errors import ConfigError
from model_zoo.parsing import NOT_UTF8, parse_yaml, read_text
from trainers.config import Recipe
from trainers.recipes.loading import check_recipe
from trainers.search.parameters import Binding, Changes, Dimension, Param, Rounding, lookup

Params = dict[str, Param]
"""A drawn value for every hyperparameter, by name."""


@dataclass(frozen=True)
class Space:
    """The hyperparameters that a search varies around one recipe.

    Attributes:
        base: that recipe.
        dimensions: the hyperparameters.
        roundings: keys that are rounded after all values are drawn.
        left_out: hyperparameters of the file that do not apply to this recipe, and why.
    """

    base: Recipe
    dimensions: tuple[Dimension, ...]
    roundings: tuple[Rounding, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def categories(self) -> set[str]:
        """Categories of the hyperparameters."""
        return {dimension.category for dimension in self.dimensions}

    @property
    def base_params(self) -> Params | None:
        """Parameters that give the recipe itself; None if the space does not contain it."""
        params = {one.name: one.base for one in self.dimensions if one.base is not None}
        return params if len(params) == len(self.dimensions) else None

    def changes(self, params: Mapping[str, Param]) -> Changes:
        """Return changed values by key; hyperparameters without a parameter are left out."""
        changes: Changes = {}
        for dimension in self.dimensions:
            if dimension.name in params:
                changes |= dimension.changes(params[dimension.name])
        for rounding in self.roundings:
            changes |= rounding.applied(changes)
        return changes

    def recipe(self, changes: Mapping[str, Any], name: str = "") -> Recipe:
        """Return the recipe with changes.

        Raises:
            ConfigError: they contradict each other.
        """
        return changed(self.base, changes, name)

    def shown(self, changes: Mapping[str, Any]) -> dict[str, str]:
        """Format the values by hyperparameter."""
        return {
            one.name: "/".join(short(changes[key]) for key in one.changes(one.extremes[0]))
            for one in self.dimensions
        }


def changed(base: Recipe, changes: Mapping[str, Any], name: str = "") -> Recipe:
    """Return a recipe with other values.

    Args:
        base: the recipe.
        changes: values by dotted key.
        name: new name; empty keeps the old one.

    Raises:
        ConfigError: the values contradict each other, or there are no such keys.
    """
    values = copy.deepcopy(base.to_dict())
    for key, value in changes.items():
        section = values
        *parents, last = key.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise ConfigError("search space", [f"{key}: {parent} holds a value, not keys"])
        section[last] = value
    values["name"] = name or values["name"]
    return check_recipe(values, f"recipe {values['name']}")


def bind(file: Mapping[str, Any], where: str, base: Recipe, *, own: bool) -> Space:
    """Bind a space to a recipe.

    Args:
        file: content of a space file.
        where: name of the space in messages.
        base: the recipe.
        own: whether it comes with Stem; hyperparameters that do not apply are then left out.

    Raises:
        ConfigError: it has errors; all of them are reported.
    """
    binding = Binding(lookup(base), own)
    found = [*_dimensions(file, binding)]
    if binding.mistakes:
        raise ConfigError(where, binding.mistakes)
    dimensions = _with_short_names(found)
    space = Space(base, dimensions, tuple(binding.roundings), tuple(binding.left_out))
    return _without_invalid(space, where, own)


def _dimensions(file: Mapping[str, Any], binding: Binding) -> Iterator[Dimension]:
    for category, entries in file.items():
        if not isinstance(entries, Mapping) or not entries:
            binding.mistakes.append(f"{category} must be keys of a recipe with what they may be")
            continue
        for keys, spec in entries.items():
            one = binding.dimension(str(category), str(keys), spec)
            if one:
                yield one


def _with_short_names(found: list[Dimension]) -> tuple[Dimension, ...]:
    """Give hyperparameters short names if these are unique, else keep whole keys."""
    names = [brief(one.name) for one in found]
    often = Counter(names)
    return tuple(
        replace(one, name=name if often[name] == 1 else one.name)
        for one, name in zip(found, names, strict=True)
    )


def brief(key: str) -> str:
    """Return the last meaningful word of a key: ``remix`` of ``data.augmentation.remix.chance``."""
    words = [word for word in key.split(".") if word != "chance"]
    return words[-1] if words else key


def _without_invalid(space: Space, where: str, own: bool) -> Space:
    """Leave out or refuse hyperparameters that give invalid recipes on their own."""
    kept, odd = [], []
    for one in space.dimensions:
        mistake = _mistake(space, one)
        if mistake:
            odd.append(f"{one.name}: {mistake}")
        else:
            kept.append(one)
    if odd and not own:
        raise ConfigError(where, odd)
    if not kept:
        raise ConfigError(where, ["nothing in it can be varied in this recipe", *odd])
    return Space(space.base, tuple(kept), space.roundings, (*space.left_out, *odd))


def _mistake(space: Space, one: Dimension) -> str:
    for param in one.extremes:
        try:
            space.recipe(space.changes({one.name: param}))
        except ConfigError as error:
            return "; ".join(error.mistakes)
    return ""


def short(value: Any) -> str:
    """Format a value for a table."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.3g}"


def require_architecture(recipe: Recipe, name: str) -> None:
    """Refuse a recipe that trains another network.

    Raises:
        UnknownNameError: no architecture has this name.
        ConfigError: it trains another network; the message suggests a command.
    """
    registry.architecture(name)
    found = recipe.model.architecture
    if found != name:
        raise ConfigError(
            f"recipe {recipe.name}",
            [f"it trains {found}, not {name}. Try: stem tune {found}, or another --recipe"],
        )


COMMON = "common"
"""Name of the space that the spaces of all architectures extend."""

SPACES = resources.files(__name__.rpartition(".")[0]) / "spaces"


def space_text(architecture: str, file: str = "") -> str:
    """Read the text of a space.

    Args:
        architecture: architecture whose space is read if no file is given.
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
    except UnicodeDecodeError as error:
        raise ConfigError(f"--space {file}", [NOT_UTF8]) from error
    except ValueError as error:
        raise ConfigError(f"--space {file}", [f"it is not a short text: {error}"]) from error


def _own_text(architecture: str) -> str:
    """Merge the space of an architecture with the common one, which it overrides."""
    merged: dict[str, Any] = {}
    for name in (architecture, COMMON):
        if (place := SPACES / f"{name}.yaml").is_file():
            merged = {**parse_yaml(name, place.read_text("utf-8")), **merged}
    return yaml.safe_dump(merged, sort_keys=False)


def read_space(text: str, where: str, base: Recipe, *, own: bool) -> Space:
    """Parse a space and bind it to a recipe.

    Args:
        text: text of a space file.
        where: name of the space in messages.
        base: the recipe.
        own: whether the file comes with Stem.

    Raises:
        ConfigError: it has errors; all of them are reported.
    """
    values: Any = parse_yaml(where, text)
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(where, ["it must map categories to keys of a recipe"])
    return bind(values, where, base, own=own)
