"""Names and options that only those know who bear them: networks, losses and discriminators.

They are looked at in the plain values of a recipe, so that mistakes here and elsewhere are told at
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from model_zoo import registry
from model_zoo.discriminator_limits import weightless_ensemble
from model_zoo.discriminators.ensemble import EnsembleSpec
from model_zoo.errors import ConfigError, UnknownNameError
from model_zoo.separator import Separator
from model_zoo.weightless import weightless
from trainers.config import ObjectiveRecipe
from trainers.config.recipe import ADVERSARIAL, ModelRecipe
from trainers.losses import Maker
from trainers.objectives import OBJECTIVES


def unknown_names(values: Mapping[str, Any]) -> list[str]:
    """What a recipe names that does not exist, a sentence each.

    Args:
        values: of the recipe; what is of a wrong type is passed over.
    """
    objective = _objective(values)
    return [
        *_of_network(_below(values, "model"), objective, _below(values, "losses")),
        *(_of_losses(values, objective) if _is_for(objective, values) else ()),
        *_of_discriminators(_below(values, "adversary")),
    ]


def _objective(values: Mapping[str, Any]) -> str:
    """The objective that a recipe names; the usual one where there is none of that name."""
    name = _below(values, "objective").get("name")
    return name if isinstance(name, str) and name in OBJECTIVES else ObjectiveRecipe.name


def _of_network(model: Mapping[str, Any], objective: str, weights: Mapping[str, Any]) -> list[str]:
    name, options = model.get("architecture", ModelRecipe.architecture), _below(model, "options")
    if not isinstance(name, str):
        return []
    try:
        network = weightless(name, options)
        with torch.device("meta"):
            return OBJECTIVES[objective].refusals(network, weights)
    except UnknownNameError as error:
        return [f"model: {error}"]
    except ConfigError as error:
        return [f"model: options: {mistake}" for mistake in error.mistakes]
    except (RuntimeError, MemoryError, OverflowError):
        # PyTorch counts the bytes of a tensor in 63 bits.
        return ["model: options: a network of this size cannot be built. Type smaller numbers"]


def _kind(values: Mapping[str, Any]) -> type[Separator] | None:
    """The network of a recipe; None where there is none of that name."""
    name = _below(values, "model").get("architecture", ModelRecipe.architecture)
    is_known = isinstance(name, str) and name in registry.ARCHITECTURES
    return registry.architecture(name) if is_known else None


def _is_for(objective: str, values: Mapping[str, Any]) -> bool:
    """Whether it is worth looking at losses: with another objective, others mean something."""
    kind = _kind(values)
    return kind is None or kind.role in OBJECTIVES[objective].roles


def _of_losses(values: Mapping[str, Any], objective: str) -> Iterator[str]:
    known, kind, options = (
        OBJECTIVES[objective].known,
        _kind(values),
        _below(values, "loss_options"),
    )
    penalties = kind.penalty_names if kind else ()
    for name, weight in _below(values, "losses").items():
        if not weight or name in (*ADVERSARIAL, *penalties):
            continue
        if name in known:
            made = _of_loss(known[name], _below(options, name))
            yield from (f"loss_options.{name}: {mistake}" for mistake in made)
        elif any(name in kind.known for kind in OBJECTIVES.values()):
            yield (
                f"losses.{name} means nothing for objective {objective}, which has"
                f" {', '.join(known)}. Type: --set losses.{name}=0"
            )
        elif finders := _finders(name):
            yield f"losses.{name} is found by {', '.join(finders)} alone. Leave it out"
        else:
            yield str(UnknownNameError("loss", str(name), (*known, *penalties)))


def _finders(penalty: str) -> list[str]:
    """Architectures that find this loss in themselves."""
    names = registry.ARCHITECTURES
    return [name for name in names if penalty in registry.architecture(name).penalty_names]


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
            weightless_ensemble(spec)
    except ConfigError as error:
        return [f"adversary.options: {mistake}" for mistake in error.mistakes]
    return []


def _below(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under a key; empty where there is none."""
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
