"""Adds a network to the user's zoo: its weights and a card, from a training run or an importer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from model_zoo import registry, weights
from model_zoo.catalogue.cards import Card, CardScore, check_new_name, zoo_home
from model_zoo.catalogue.resolve import BEST, RECIPE, SUMMARY, find_weights
from model_zoo.config import Config
from model_zoo.errors import CheckpointError, ConfigError, NoModelError
from model_zoo.files import SUFFIX, sha256, staged
from model_zoo.parsing import parse_json, read_text
from model_zoo.separator import Separator
from model_zoo.weights import Weights, save


def install(
    separator: Separator,
    card: Card,
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
    overwrite: bool = False,
) -> Card:
    """Write ``separator`` and ``card`` into the zoo; return the card as it was written.

    Args:
        separator: the network.
        card: what is known of it; architecture, stems, sample rate, parameters and everything
            about the file are filled in from ``separator``.
        metadata: further texts for the weights file.
        half: store the weights in float16.
        overwrite: replace a model of the user's that has this name.

    Raises:
        ConfigError: the name is bundled, taken or unfit.
        OutputError: the zoo cannot be written.
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
    """Write ``separator`` and ``card`` into any folder; return the card as it was written.

    Args:
        separator: the network.
        card: as for :func:`install`.
        folder: where to; what is called the same there is replaced.
        metadata: further texts for the weights file.
        half: store the weights in float16.

    Raises:
        OutputError: the folder cannot be written.
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


def check_free(name: str, overwrite: bool = False, option: str = "--name") -> None:
    """Refuse a name that is bundled, unfit or, without ``overwrite``, taken.

    Args:
        name: of a model to be.
        overwrite: whether a model of the user's may be replaced.
        option: after which the name was typed.

    Raises:
        ConfigError: with what to type instead.
    """
    check_new_name(name, option)
    if not overwrite and (zoo_home() / f"{name}.toml").exists():
        raise ConfigError(
            option, [f"{name!r} is in your zoo already. Type another name, or add --overwrite"]
        )


PRETRAINING = ("denoising",)
"""Objectives, as a recipe and the text ``objective`` of a weights file name them, by which a
network learns what another run starts from and cannot separate yet."""

DEFINITION = "global: 10 log10 of energy of reference over energy of error, mean over songs, dB"


@dataclass(frozen=True)
class Summary(Config):
    """What came out of a run.

    Attributes:
        recipe: its name.
        step: steps after which the weights are as they are; 0 where that is not known.
        best_mean: their validation score, mean over the stems; None without validation.
        sdr: the same of each stem; an SDR in dB unless ``score`` and ``definition`` say otherwise.
        songs: that were trained on; 0 where that is not known.
        validation_songs: that were validated with.
        data: name of the folder of the songs.
        score: the word for what was measured.
        definition: how, in words.
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
        """Where the weights come from, in words."""
        by = f" by the recipe {self.recipe}" if self.recipe else ""
        steps = f"{self.step:,} step{'' if self.step == 1 else 's'}"
        after = f", best weights of {steps}" if self.step else ""
        return f"Trained with stem{by}{after}"

    @property
    def training_data(self) -> str:
        """What was learned from, in words; empty where nothing is known."""
        count = f"{self.songs:,} song{'' if self.songs == 1 else 's'}" if self.songs else ""
        folder = f"the folder {self.data}" if self.data else ""
        return " of ".join(filter(None, (count, folder)))

    @property
    def scores(self) -> tuple[CardScore, ...]:
        """The validation; what is not finite is left out."""
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
    """Put the best weights of a run into the user's zoo; return their card.

    Args:
        source: the folder of a run, or a file that :func:`model_zoo.weights.save` wrote.
        name: how the model will be called.
        licence: of the weights, as whoever trained them states it.
        overwrite: replace a model of the user's that has this name.

    Raises:
        ConfigError: the name is bundled, taken or unfit.
        NoModelError: there are no such weights, or they were pretrained and separate nothing.
        CheckpointError: they or the run's summary are damaged.
        OutputError: the zoo cannot be written.
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
    """What is known of a file of weights, and of the run whose best weights it holds.

    Args:
        path: of the file.
        content: of the file.
        separator: its network, with or without its weights.

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
        metadata: texts of their file.
        name: as it was typed.

    Raises:
        NoModelError: says what they are for.
    """
    objective = metadata.get("objective")
    if objective in PRETRAINING:
        raise NoModelError(
            f"{name} was pretrained by {objective} and cannot separate yet. Start a training "
            f"from it with: stem train --from {quote(name)}"
        )


def read_summary(folder: Path) -> Summary:
    """What came out of a run, as far as its folder says.

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
    """The mapping in a file; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        values = parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(values, dict):
        raise _damaged(path, "it holds no names with values")
    return values


def _damaged(path: Path, why: object) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be used ({why}). Remove it, to add the model without what it says"
    )


def _is_half(content: Weights) -> bool:
    return any(tensor.dtype == torch.float16 for tensor in content.tensors.values())
