"""Loads recipes: merges bases, applies ``--set`` and reports unknown names together.

A recipe may name another as its ``base``, and then lists only the differences; if the
architecture differs, the network options of the base are dropped. ``--set a.b=value`` changes
single values. The ``recipe.json`` of a run is a recipe too: JSON is YAML.

Every architecture has two recipes: ``NAME`` in full size, and ``tune-NAME`` for one trial of a
search. If there is no such file, they are ``melroformer`` and ``tune-melroformer`` with that
network, in its default and in its smallest size.

Names are checked in the plain values of a recipe, so that these errors and all others are reported
together.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from model_zoo import registry
from model_zoo.config import Config
from model_zoo.discriminators.ensemble import EnsembleSpec
from model_zoo.errors import ConfigError, UnknownNameError
from model_zoo.parsing import (
    NOT_UTF8,
    parse_change,
    parse_yaml,
    read_text,
    refuse_control_characters,
)
from model_zoo.separator import Separator
from model_zoo.shell import quoted
from model_zoo.weight_checks import ensemble_on_meta
from trainers.config import ObjectiveRecipe, Recipe
from trainers.config.recipe import ADVERSARIAL, ModelRecipe
from trainers.losses import Maker
from trainers.objectives import OBJECTIVES, problems
from trainers.recipes import recipe_names

TRIAL = "tune-"
"""Prefix of the names of recipes for one trial of a search."""


def load_recipe(name: str, changes: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by name or file and apply ``key.key=value`` changes.

    Raises:
        UnknownNameError: there is no such recipe.
        ConfigError: the file cannot be read, its bases form a loop, or it has unknown keys or
            contradictory values.
    """
    values = _with_bases(str(Path(name).resolve()) if _is_file_name(name) else name)
    _apply_all(values, changes)
    values["name"] = values.get("name") or Path(name).stem
    return check_recipe(values, f"recipe {name}")


def check_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Build a recipe from plain values.

    Args:
        values: content of a recipe file.
        where: name of the recipe in error messages.

    Raises:
        ConfigError: the recipe has errors; all are reported together.
    """
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
        mistake = f"it cannot be read ({error.strerror}). Use a recipe file, or one of {names}"
        raise ConfigError(where, [mistake]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(where, [NOT_UTF8]) from error
    except ValueError as error:
        raise ConfigError(where, [str(error)]) from error
    if not isinstance(values, dict):
        raise ConfigError(where, ["it must be a mapping of keys to values"])
    refuse_control_characters(where, values)
    return values


def _usual(name: str) -> dict[str, Any]:
    """Return the recipe of an architecture without a recipe file; empty for other names."""
    architecture = name.removeprefix(TRIAL)
    if architecture not in registry.ARCHITECTURES or name in recipe_names():
        return {}
    size = registry.architecture(architecture).small_options if name.startswith(TRIAL) else {}
    base = f"{TRIAL if name.startswith(TRIAL) else ''}melroformer"
    return {"base": base, "model": {"architecture": architecture, "options": dict(size)}}


def _text(resource: Traversable) -> str:
    return read_text(resource) if isinstance(resource, Path) else resource.read_text("utf-8")


def _find(name: str) -> Traversable:
    if _is_file_name(name):
        return Path(name)
    if name not in recipe_names() and Path(name).is_file():
        raise ConfigError(f"recipe {name}", ["recipe files must end in .yaml or .json"])
    if name not in recipe_names():
        raise UnknownNameError("recipe", name, recipe_names(), "stem train --help")
    return resources.files(__package__) / f"{name}.yaml"


def _is_file_name(name: str) -> bool:
    return Path(name).suffix in {".yaml", ".yml", ".json"}


def _with_bases(name: str, heirs: tuple[str, ...] = ()) -> dict[str, Any]:
    """Merge a recipe over its base; the path of a base is relative to the recipe file."""
    if name in heirs:
        raise ConfigError(f"recipe {name}", ["its bases form a loop"])
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
    """Return the architecture that a recipe names."""
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
        if misplaced := _misplaced(change):
            mistakes.append(misplaced)
            continue
        try:
            apply_change(values, change)
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError("--set", mistakes)


def _misplaced(change: str) -> str:
    """Name the full key of a change whose key belongs to another section; empty for others."""
    path, equals, value = change.partition("=")
    above, _, name = path.rpartition(".")
    sections = dict(_sections(Recipe))
    section = sections.get(above)
    if not equals or section is None or name in {*_names(section), *section.former_names}:
        return ""
    places = [
        f"{place}.{name}".lstrip(".") for place, kind in sections.items() if name in _names(kind)
    ]
    shallow = min((place.count(".") for place in places), default=0)
    tries = [quoted(f"{place}={value}") for place in places if place.count(".") == shallow]
    return f"there is no key {path}. Try: --set {' or --set '.join(tries)}" if tries else ""


def _sections(kind: type[Config], above: str = "") -> Iterator[tuple[str, type[Config]]]:
    """Yield the sections of a recipe with their dotted keys, the whole recipe first."""
    yield above, kind
    for name, hint in typing.get_type_hints(kind).items():
        if isinstance(hint, type) and issubclass(hint, Config):
            yield from _sections(hint, f"{above}.{name}".lstrip("."))


def _names(section: type[Config]) -> list[str]:
    return [field.name for field in fields(section)]


def apply_change(values: dict[str, Any], change: str) -> None:
    """Apply one ``--set key.key=value`` to the values of a recipe.

    Raises:
        ConfigError: the change cannot be parsed.
    """
    path, value = parse_change(change, "loop.batch_size=8")
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ConfigError("--set", [f"{path}: {parent} holds a value, not keys"])
    values[last] = value


def unknown_names(values: Mapping[str, Any]) -> list[str]:
    """Report names in a recipe that do not exist, in one sentence each.

    Args:
        values: values of the recipe; values of a wrong type are skipped.
    """
    objective = _objective(values)
    return [
        *_of_network(_below(values, "model"), objective, _below(values, "losses")),
        *(_of_losses(values, objective) if _is_for(objective, values) else ()),
        *_of_discriminators(_below(values, "adversary")),
    ]


def _objective(values: Mapping[str, Any]) -> str:
    """Return the objective that a recipe names, or the default if that name is unknown."""
    name = _below(values, "objective").get("name")
    return name if isinstance(name, str) and name in OBJECTIVES else ObjectiveRecipe.name


def _of_network(model: Mapping[str, Any], objective: str, weights: Mapping[str, Any]) -> list[str]:
    name, options = model.get("architecture", ModelRecipe.architecture), _below(model, "options")
    if not isinstance(name, str):
        return []
    try:
        return problems(objective, name, options, weights)
    except UnknownNameError as error:
        return [f"model: {error}"]
    except ConfigError as error:
        return [f"model: options: {mistake}" for mistake in error.mistakes]
    except (RuntimeError, MemoryError, OverflowError):
        # PyTorch counts the bytes of a tensor in 63 bits.
        return ["model: options: a network of this size cannot be built. Use smaller numbers"]


def _kind(values: Mapping[str, Any]) -> type[Separator] | None:
    """Return the network class of a recipe; None if its name is unknown."""
    name = _below(values, "model").get("architecture", ModelRecipe.architecture)
    is_known = isinstance(name, str) and name in registry.ARCHITECTURES
    return registry.architecture(name) if is_known else None


def _is_for(objective: str, values: Mapping[str, Any]) -> bool:
    """Whether losses are worth checking: those of a mismatched objective would only mislead."""
    kind = _kind(values)
    return kind is None or kind.role in OBJECTIVES[objective].roles


def _of_losses(values: Mapping[str, Any], objective: str) -> Iterator[str]:
    known, kind, options = (
        OBJECTIVES[objective].known,
        _kind(values),
        _below(values, "loss_options"),
    )
    penalties = kind.auxiliary_loss_names if kind else ()
    for name, weight in _below(values, "losses").items():
        if not weight or name in (*ADVERSARIAL, *penalties):
            continue
        if name in known:
            mistakes = _of_loss(known[name], _below(options, name))
            yield from (f"loss_options.{name}: {mistake}" for mistake in mistakes)
        elif any(name in kind.known for kind in OBJECTIVES.values()):
            yield (
                f"losses.{name} does not exist for objective {objective}, which has"
                f" {', '.join(known)}. Try: --set losses.{name}=0"
            )
        elif providers := _providers(name):
            yield f"losses.{name} is only provided by {', '.join(providers)}. Leave it out"
        else:
            yield str(UnknownNameError("loss", str(name), (*known, *penalties)))


def _providers(penalty: str) -> list[str]:
    """Return the architectures that provide this penalty."""
    names = registry.ARCHITECTURES
    return [name for name in names if penalty in registry.architecture(name).auxiliary_loss_names]


def _of_loss(maker: Maker, options: Mapping[str, Any]) -> list[str]:
    try:
        maker.options.from_dict(options)
    except ConfigError as error:
        return error.mistakes
    return []


def _of_discriminators(adversary: Mapping[str, Any]) -> list[str]:
    names, options = adversary.get("discriminators"), _below(adversary, "options")
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        return []
    if not all(isinstance(value, Mapping) for value in options.values()):
        return []
    try:
        spec = EnsembleSpec.from_dict({"names": names, "options": options if names else {}})
    except ConfigError as error:
        return [f"adversary: {mistake}" for mistake in error.mistakes]
    try:
        if names:
            ensemble_on_meta(spec)
    except ConfigError as error:
        return [f"adversary.options: {mistake}" for mistake in error.mistakes]
    return []


def _below(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the mapping below a key; empty if there is none."""
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
