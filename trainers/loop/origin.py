"""Start from weights that were trained before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from shlex import quote

from torch import Tensor

from model_zoo import registry, weights
from model_zoo.errors import NoModelError
from model_zoo.separator import Separator
from model_zoo.whereabouts import locate


def start_from(model: Separator, name: str) -> None:
    """Copy trained weights into ``model``.

    Where the two have another number of stems, tensors that follow it begin anew.

    Args:
        model: the network of the recipe.
        name: a model of the zoo, the folder of a run, or a ``.safetensors`` file that this program
            wrote.

    Raises:
        UnknownNameError: no model has this name.
        NoModelError: there is no such file or run, or the recipe describes another network; the
            sentence says which options would have to change.
        CheckpointError: the file is damaged.
        ChecksumError: the file is not the one that the model's card describes.
    """
    origin = weights.load(locate(name))
    found, wanted = registry.name_of(origin), registry.name_of(model)
    if found != wanted:
        raise NoModelError(
            f"{name} is a {found} and the recipe trains a {wanted}. "
            f"Choose a recipe for {found} with --recipe"
        )
    changes = [*_changes(origin, model)]
    if changes:
        raise NoModelError(f"{name} does not fit the recipe's network. Type: {' '.join(changes)}")
    tensors = origin.state_dict()
    if len(origin.stems) != len(model.stems):
        tensors = _as_far_as_they_fit(tensors, model.state_dict())
    weights.load_tensors(model, tensors, origin=name)


def _as_far_as_they_fit(
    found: Mapping[str, Tensor], fresh: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors that were found; the fresh ones where these have another shape."""
    return {
        name: found[name] if name in found and found[name].shape == value.shape else value
        for name, value in fresh.items()
    }


def _changes(found: Separator, wanted: Separator) -> Iterator[str]:
    """What to type so that the recipe describes the network that was found."""
    values = wanted.config.to_dict()
    for option, value in found.config.to_dict().items():
        if option not in wanted.free and values[option] != value:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"--set {quote(f'model.options.{option}={text}')}"
