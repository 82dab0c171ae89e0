"""What was asked for by a word that is no name of a model: without torch, so that it is quick."""

from __future__ import annotations

import os
from pathlib import Path

from model_zoo import registry
from model_zoo.card import cards
from model_zoo.errors import UnknownNameError, UsageError, nearest
from stemcli.cli.words import quoted

SUFFIX = ".safetensors"
INSTEAD = f"Type a name of stem models list, or a {SUFFIX} file"
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".th", ".bin")
"""By which the files of other programs are known."""


def is_weights(word: str) -> bool:
    """Whether this is a file that may hold a network."""
    return word.endswith(SUFFIX) and Path(word).is_file()


def unknown(word: str) -> UsageError:
    """There is neither a model nor an architecture of this name, nor a file of weights."""
    return _misplaced(word) or _unknown_name(word)


def _misplaced(word: str) -> UsageError | None:
    """For the name of a file or folder what can be done with it."""
    path = Path(word)
    if path.is_dir():
        return UsageError(
            f"{word} is a folder. For a run of stem train type: "
            f"stem models add {quoted(word)} --name NAME"
        )
    if path.is_file() and path.suffix in CHECKPOINTS:
        return UsageError(
            f"{word} is a checkpoint of another program. Type: "
            f"stem models convert {quoted(word)} --name NAME"
        )
    if path.is_file():
        return UsageError(f"{word} is no model. {INSTEAD}")
    if os.sep in word or path.suffix in (SUFFIX, *CHECKPOINTS):
        return UsageError(f"{word} does not exist. {INSTEAD}")
    return None


def _unknown_name(name: str) -> UnknownNameError:
    models = [*cards(lambda damage: None)]
    near = nearest(name, [*models, *registry.ARCHITECTURES])
    if near is None:
        known = {*models, *registry.ARCHITECTURES}
        return UnknownNameError("model or architecture", name, known, hint="stem models list")
    if near in models:
        return UnknownNameError("model", name, models, hint="stem models list")
    hint = "stem models list --architectures"
    return UnknownNameError("architecture", name, registry.ARCHITECTURES, hint=hint)
