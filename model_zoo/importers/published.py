"""Facts of the catalogue about published networks, in the words of importers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from model_zoo import catalogue, registry
from model_zoo.catalogue.public import PublicModel, find_by_sha256
from model_zoo.importers.settings import Settings
from model_zoo.parsing import read_toml

SIZES = Path(catalogue.__file__).with_name("network_sizes.toml")


class PublicNetwork(NamedTuple):
    """What is known about a published network beside its files.

    Attributes:
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        stems: names of its stems, in order; empty for those of the files.
        residual: name of the rest; empty for the usual one.
        options: options of the architecture that the files do not tell.
        facts: other fields of its :class:`~model_zoo.catalogue.cards.Card`.
    """

    architecture: str
    stems: tuple[str, ...] = ()
    residual: str = ""
    options: Mapping[str, Any] = {}
    facts: Mapping[str, Any] = {}

    def overruled(self, settings: Settings) -> PublicNetwork:
        """What is known beside what a configuration file of the user states."""
        stated = ("overlap", "level")
        facts = {key: value for key, value in self.facts.items() if key not in stated}
        if settings.stems:
            return self._replace(stems=(), residual="", facts=facts)
        return self._replace(facts=facts)


def known_files(digests: Sequence[str]) -> PublicNetwork | None:
    """The published network that consists of files with these SHA-256; None if there is none.

    Args:
        digests: SHA-256 of each file; the stems of a network with a file for each are in this
            order.
    """
    model = find_by_sha256(digests[0])
    if model is None or len(model.files) != len(digests):
        return None
    if len(digests) == 1:
        return described(model)
    stems = {file.sha256: stem for file, stem in zip(model.files, model.stems, strict=False)}
    if stems.keys() != {*digests}:
        return None
    return described(model)._replace(stems=tuple(stems[digest] for digest in digests))


def described(model: PublicModel) -> PublicNetwork:
    """An entry of the catalogue for an importer."""
    return PublicNetwork(
        model.architecture, model.stems, model.residual, _options(model), _facts(model)
    )


def network_options(model: PublicModel) -> dict[str, Any] | None:
    """Options that build a network of the size of a public one; None if its size is not known."""
    size = _sizes().get(model.name)
    return None if size is None else {**size, **_options(model), "stems": list(model.stems)}


@cache
def _sizes() -> dict[str, dict[str, Any]]:
    rows = read_toml(SIZES)["sizes"]
    return {name: row["options"] for row in rows for name in row["models"]}


def _options(model: PublicModel) -> dict[str, Any]:
    """What is stated about the network, as options that its architecture has."""
    stated = {
        "window_size": model.options.n_fft,
        "hop_size": model.options.hop,
        "segment": model.options.chunk,
        "sample_rate": model.sample_rate,
        "audio_channels": model.options.channels,
        "band_ratios": model.options.band_ratios,
        "skip_connection": model.options.skip_connection,
    }
    zero_dc = model.options.zero_dc
    has = {field.name for field in fields(registry.architecture(model.architecture).Config)}
    known = {name: value for name, value in stated.items() if value and name in has}
    return known if zero_dc is None else {**known, "zero_dc": zero_dc}


def _facts(model: PublicModel) -> dict[str, Any]:
    """Fields of the card."""
    facts: dict[str, Any] = {
        "description": f"{model.purpose or 'separation'}: a public network, {model.name}".strip(),
        "licence": model.licence,
        "authors": model.authors,
        "source": model.source,
        "paper": model.paper,
        "limits": model.note,
        "url": model.files[0].url,
        "scores": model.scores,
    }
    if model.options.overlap is not None:
        facts["overlap"] = model.options.overlap
    if model.options.normalize:
        facts["level"] = "standard"
    return facts
