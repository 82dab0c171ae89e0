"""From the names a user types to models that can run."""

from __future__ import annotations

from pathlib import Path

from model_zoo import weights
from model_zoo.adoption import require_finished
from model_zoo.card import find
from model_zoo.files import sha256
from model_zoo.whereabouts import is_place, locate
from stemcli.engine.ensemble import Model


def load_model(name: str) -> Model:
    """A model of the zoo, the best weights of a run, or those of a file.

    Args:
        name: of a model, else the folder of a run or a ``.safetensors`` file.

    Raises:
        UnknownNameError: the zoo has no such model; the nearest name is offered.
        NoModelError: it is a network without weights or one that cannot separate yet, or there is
            no such run or file.
        WeightsError: its file is damaged or changed.
    """
    path = locate(name)
    if is_place(name):
        content = weights.read(path)
        require_finished(content.metadata, name)
        called = Path(name).resolve().name if Path(name).is_dir() else path.stem
        residual = content.metadata.get("residual", "")
        return Model(called, weights.build(path, content), residual, sha256=sha256(path))
    card = find(name)
    return Model(name, weights.load(path), card.residual, card.overlap, card.sha256, card.better)
