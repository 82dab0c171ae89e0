"""From somebody else's checkpoint to a model that ``--model NAME`` finds."""

from __future__ import annotations

import os
import re
from pathlib import Path

from model_zoo import registry
from model_zoo.card import Card
from model_zoo.files import sha256
from model_zoo.fitting import require_fit
from model_zoo.importers import msrkit
from model_zoo.importers.pickles import state_dict
from model_zoo.install import check_free, install
from model_zoo.separator import Separator
from model_zoo.weights import load_tensors


def convert(
    path: str | os.PathLike[str],
    *,
    name: str,
    stem: str = "",
    residual: str = "",
    num_heads: int | None = None,
    hop_size: int | None = None,
    sample_rate: int | None = None,
    licence: str = "not stated",
    overwrite: bool = False,
) -> Card:
    """Put an MSRKit generator into the user's zoo, as a safetensors file and a card.

    Args:
        path: a PyTorch or safetensors file.
        name: how the model will be called.
        stem: what it extracts; empty takes the file's name (MSRKit calls them ``Guitar.pth``).
        residual: name of the mixture without that stem; empty is ``no_STEM``.
        num_heads: of MelRoFormer; shapes do not tell. Usually 4.
        hop_size: in samples; shapes do not tell. Usually a quarter of the window.
        sample_rate: in Hz; recognised by the mel bands, and only checked when given.
        licence: of the weights, as their source states it.
        overwrite: replace a model of the user's that has this name.

    Raises:
        ConfigError: the name is bundled or taken, or an option contradicts the file.
        CheckpointError: the file is missing, damaged, unsafe or of an unknown layout.
        OutputError: the zoo cannot be written.
    """
    check_free(name, overwrite)
    source = Path(path)
    stem = stem or re.sub(r"[^a-z0-9]+", "_", source.stem.lower()).strip("_")
    separator = _generator(source, stem, msrkit.Options(num_heads, hop_size, sample_rate))
    card = Card(
        name=name,
        architecture=registry.name_of(separator),
        description=f"{type(separator).__name__} for {stem}, converted from {source.name}.",
        stems=separator.stems,
        residual=residual or f"no_{stem}",
        licence=licence,
        source=f"MSRKit checkpoint {source.name}",
    )
    return install(separator, card, {"source_sha256": sha256(source)}, overwrite=overwrite)


def _generator(source: Path, stem: str, options: msrkit.Options) -> Separator:
    tensors = state_dict(source)
    architecture, config = msrkit.infer(tensors, options)
    config["stems"] = [stem]
    registry.architecture(architecture).Config.from_dict(config)  # what the user typed goes first
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    require_fit(str(source), architecture, config, shapes)
    separator = registry.build(architecture, config)
    load_tensors(separator, tensors, origin=str(source))
    return separator
