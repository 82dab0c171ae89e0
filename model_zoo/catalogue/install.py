"""Adds a network to the user's zoo: its weights and a card, from a training run or an importer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from model_zoo import registry, weights
from model_zoo.catalogue.cards import Card, zoo_home
from model_zoo.catalogue.names import check_free
from model_zoo.catalogue.resolve import BEST, RECIPE, SUMMARY, find_weights
from model_zoo.catalogue.scores import CardScore
from model_zoo.config import Config
from model_zoo.errors import CheckpointError, ConfigError, NoModelError
from model_zoo.files import SUFFIX, sha256, staged
from model_zoo.parsing import parse_json, read_text
from model_zoo.separator import Separator
from model_zoo.shell import quoted
from model_zoo.weights import Weights, save


def install(
    separator: Separator,
    card: Card,
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Card:
    """Write weights and card of a network into the zoo; returns the written card.

    Args:
        separator: the network.
        card: its description; architecture, stems, sample rate, parameters and the fields of the
            file are filled in from ``separator``.
        metadata: more entries for the metadata of the weights file.
        half: store the weights in float16.
        overwrite: replace a model of the user with this name.

    Raises:
        ConfigError: the name is bundled, taken or invalid.
        OutputError: the zoo is not writable.
    """
    check_free(card.name, overwrite)
    return put(separator, card, zoo_home(), metadata, half=half)


def put(
    separator: Separator,
    card: Card,
    folder: Path,
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> Card:
    """Write weights and card of a network into any folder; returns the written card.

    Args:
        separator: the network.
        card: as for :func:`install`.
        folder: output folder; files of the same names are replaced.
        metadata: more entries for the metadata of the weights file.
        half: store the weights in float16.

    Raises:
        OutputError: the folder is not writable.
    """
    weights = folder / (card.name + SUFFIX)
    checksum = save(weights, separator, {**(metadata or {}), "residual": card.residual}, half=half)
    complete = replace(
        card,
        architecture=registry.name_of(separator),
        stems=separator.stems,
        sample_rate=separator.sample_rate,
        parameters=separator.parameter_count(),
        file=weights.name,
        size=weights.stat().st_size,
        sha256=checksum,
    )
    with staged(weights.with_name(f"{card.name}.toml")) as temporary:
        temporary.write_text(complete.to_toml(), encoding="utf-8")
    return complete


PRETRAINING = ("denoising",)
"""Objectives, as a recipe and the text ``objective`` of a weights file name them, by which a
network learns what another run starts from and cannot separate yet."""

DEFINITION = "global: 10 log10 of energy of reference over energy of error, mean over songs, dB"


@dataclass(frozen=True)
class Summary(Config):
    """Summary of a training run, as its folder stores it.

    Attributes:
        recipe: name of the recipe.
        step: step of the best weights; 0 if unknown.
        best_mean: their validation score, mean over the stems; None without validation.
        sdr: their validation score by stem; SDR in dB unless ``score`` and ``definition`` say
            otherwise.
        songs: number of training songs; 0 if unknown.
        validation_songs: number of validation songs.
        data: name of the data folder.
        score: name of the validation score.
        definition: definition of the score, in words.
    """

    recipe: str = ""
    step: int = 0
    best_mean: float | None = None
    sdr: dict[str, float] = field(default_factory=dict)
    songs: int = 0
    validation_songs: int = 0
    data: str = ""
    score: str = "SDR"
    definition: str = DEFINITION

    @property
    def source(self) -> str:
        """Origin of the weights, in words."""
        by = f", recipe {self.recipe}" if self.recipe else ""
        steps = f"{self.step:,} step{'' if self.step == 1 else 's'}"
        after = f", best weights of {steps}" if self.step else ""
        return f"Trained with stem{by}{after}"

    @property
    def training_data(self) -> str:
        """Training data, in words; empty if unknown."""
        count = f"{self.songs:,} song{'' if self.songs == 1 else 's'}" if self.songs else ""
        folder = f"the folder {self.data}" if self.data else ""
        return " of ".join(filter(None, (count, folder)))

    @property
    def scores(self) -> tuple[CardScore, ...]:
        """Validation scores for a card, without those that are not finite."""
        if self.best_mean is None:
            return ()
        count = self.validation_songs
        songs = (
            f"{count:,} validation song{'' if count == 1 else 's'}, by which the step was chosen"
        )
        return tuple(
            CardScore(songs, stem, self.score, self.definition, round(value, 2))
            for stem, value in self.sdr.items()
            if math.isfinite(value)
        )


def add_run(
    source: Path, *, name: str, licence: str = "not stated", overwrite: bool = False
) -> Card:
    """Add the best weights of a run to the user's zoo; returns their card.

    Args:
        source: folder of a run, or a file that :func:`model_zoo.weights.save` wrote.
        name: name of the new model.
        licence: licence of the weights.
        overwrite: replace a model of the user with this name.

    Raises:
        ConfigError: the name is bundled, taken or invalid.
        NoModelError: there are no such weights, or they were pretrained and cannot separate yet.
        CheckpointError: the weights or the run's summary are damaged.
        OutputError: the zoo is not writable.
    """
    check_free(name, overwrite)
    path = find_weights(source)
    content = weights.read(path)
    require_finished(content.metadata, str(source))
    separator = weights.build(path, content)
    card = replace(described(path, content, separator), name=name, licence=licence)
    texts = {"source_sha256": sha256(path)}
    return install(separator, card, texts, half=_is_half(content), overwrite=overwrite)


def described(path: Path, content: Weights, separator: Separator) -> Card:
    """Describe a weights file, and the run that it comes from, by a card.

    Args:
        path: the weights file.
        content: its content.
        separator: its network, with or without weights.

    Raises:
        CheckpointError: the run's summary is damaged.
    """
    folder = path.parent if path.name == BEST else None
    summary = read_summary(folder) if folder else Summary()
    residual = content.metadata.get("residual", "")
    return Card(
        name="unnamed",
        architecture=registry.name_of(separator),
        description=f"{type(separator).__name__} for {', '.join(separator.stems)}.",
        stems=separator.stems,
        residual="" if residual in separator.stems else residual,
        sample_rate=separator.sample_rate,
        source=summary.source if folder else f"Weights file {path.name}",
        training_data=summary.training_data,
        file=path.name,
        size=path.stat().st_size,
        sha256=sha256(path),
        parameters=separator.parameter_count(),
        scores=summary.scores,
    )


def require_finished(metadata: Mapping[str, str], name: str) -> None:
    """Refuse weights that cannot separate yet.

    Args:
        metadata: metadata of the weights file.
        name: name of the weights, for the message.

    Raises:
        NoModelError: the weights are pretrained.
    """
    objective = metadata.get("objective")
    if objective in PRETRAINING:
        raise NoModelError(
            f"{name} was pretrained by {objective} and cannot separate yet. To train "
            f"from it: stem train --from {quoted(name)}"
        )


def read_summary(folder: Path) -> Summary:
    """Read the summary of a run; fields that its folder does not have are empty.

    Raises:
        CheckpointError: the summary or the recipe is damaged.
    """
    values = _read_json(folder / SUMMARY)
    known = {field.name for field in fields(Summary)}
    recipe = {"recipe": values.get("recipe") or _read_json(folder / RECIPE).get("name", "")}
    try:
        return Summary.from_dict({key: values[key] for key in known & values.keys()} | recipe)
    except ConfigError as error:
        raise _damaged(folder / SUMMARY, error) from error


def _read_json(path: Path) -> Mapping[str, Any]:
    """Read a JSON mapping; empty if there is no file."""
    if not path.is_file():
        return {}
    try:
        values = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(values, dict):
        raise _damaged(path, "it is not a mapping")
    return values


def _damaged(path: Path, why: object) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be used ({why}). Remove it to add the model without its information"
    )


def _is_half(content: Weights) -> bool:
    return any(tensor.dtype == torch.float16 for tensor in content.tensors.values())
