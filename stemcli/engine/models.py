"""From the names a user types to models that can run."""

from __future__ import annotations

from pathlib import Path

from model_zoo import registry, weights
from model_zoo.adoption import require_finished
from model_zoo.card import cards, find
from model_zoo.errors import UsageError
from model_zoo.files import sha256
from stemcli.engine.ensemble import Model


def load_model(name: str) -> Model:
    """A model of the zoo, or one from the path of a ``.safetensors`` file.

    Raises:
        UnknownNameError: the zoo has no such model; the nearest name is offered.
        UsageError: the name is that of a network without weights.
        WeightsError: its file is missing, damaged or changed, or separates nothing yet.
    """
    if name.endswith(weights.SUFFIX):
        metadata = weights.read(name).metadata
        require_finished(metadata, name)
        residual = metadata.get("residual", "")
        return Model(Path(name).stem, weights.load(name), residual, sha256=sha256(Path(name)))
    if name in registry.ARCHITECTURES and name not in cards(lambda _: None):
        raise UsageError(
            f"{name} is a network without weights. "
            f"Type: stem train --recipe {name} --data DIR --export NAME"
        )
    card = find(name)
    return Model(name, weights.load(name), card.residual, card.overlap, card.sha256)
