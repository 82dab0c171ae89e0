"""Put a network into the user's zoo: its weights and, beside them, its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from model_zoo import registry
from model_zoo.card import Card, check_new_name, zoo_home
from model_zoo.errors import ConfigError
from model_zoo.files import staged
from model_zoo.separator import Separator
from model_zoo.weights import SUFFIX, save


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
