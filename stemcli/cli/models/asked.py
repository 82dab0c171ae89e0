"""What was asked for by a word that is no name of a model: without torch, so that it is quick."""

from __future__ import annotations

from model_zoo import registry
from model_zoo.card import cards
from model_zoo.errors import UnknownNameError, nearest


def unknown(name: str) -> UnknownNameError:
    """There is neither a model nor an architecture of this name."""
    models = [*cards(lambda damage: None)]
    near = nearest(name, [*models, *registry.ARCHITECTURES])
    if near is None:
        known = {*models, *registry.ARCHITECTURES}
        return UnknownNameError("model or architecture", name, known, hint="stem models list")
    if near in models:
        return UnknownNameError("model", name, models, hint="stem models list")
    hint = "stem models list --architectures"
    return UnknownNameError("architecture", name, registry.ARCHITECTURES, hint=hint)
