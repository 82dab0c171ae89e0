"""Public models after a pull: the network that weights were made from, and how all is removed.

Weights that were converted name the SHA-256 of the files that they were made from in their
metadata. This module does not import torch.
"""

from __future__ import annotations

from pathlib import Path

from model_zoo.catalogue.cards import card_names, is_known, remove
from model_zoo.catalogue.download import cached, discard, held
from model_zoo.catalogue.public import find_by_sha256, find_public
from model_zoo.catalogue.unknown import SEE_INSTALLED, unknown_model
from model_zoo.errors import UnknownNameError
from model_zoo.parsing import MOST_BYTES, parse_json

SOURCES = "source_sha256"
"""Entry of the metadata of weights: SHA-256 of the files that they were made from."""


def published_as(weights: Path) -> str:
    """Name of the public network whose files weights were made from; empty if there is none.

    Args:
        weights: a safetensors file, whose header is read (github.com/huggingface/safetensors,
            "Format").
    """
    digests = _sources(weights)
    model = find_by_sha256(digests[0]) if digests else None
    if model is None:
        return ""
    alone = {(file.sha256,) for file in model.other_files}
    own = tuple(file.sha256 for file in model.files)
    return model.name if tuple(digests) == own or tuple(digests) in alone else ""


def _sources(weights: Path) -> list[str]:
    """SHA-256 of the files that weights were made from; none if they do not say so."""
    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = parse_json(file.read(min(length, MOST_BYTES)))
        return str(header["__metadata__"][SOURCES]).split()
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remove_model(name: str) -> list[Path]:
    """Delete a model of the user and, if it is public, what is left of its downloads.

    Another process that downloads the same files is waited for.

    Args:
        name: name of the model, which need not be installed if there are downloads.

    Returns:
        The deleted files.

    Raises:
        UnknownNameError: there is nothing to delete.
        UsageError: the model is bundled.
        OutputError: a file cannot be deleted.
    """
    model = find_public(name)
    if model and model.name != name and (is_known(name) or is_known(model.name)):
        model = None  # the name of a model of the user, or another spelling of an installed one
    left = [path for file in model.downloads for path in cached(file)] if model else []
    if model and not is_known(model.name) and not left:
        raise _not_there(model.name)
    if not is_known(name) and not left:
        raise unknown_model(name, card_names())
    removed = remove(name) if is_known(name) else []
    if model and left:
        with held(model.downloads, lambda done, total: None):
            for file in model.downloads:
                discard(file)
    return [*removed, *left]


def _not_there(name: str) -> UnknownNameError:
    instead = "it is not installed, and no download of it is left."
    return UnknownNameError("model", name, (), SEE_INSTALLED, instead)
