"""The catalogue of public networks: where their weights are, and what is known about them.

An entry describes a network that can be fetched, a :mod:`card <model_zoo.catalogue.cards>` weights
that are installed. Entries are data, in TOML files. Facts are those that authors and registries
state: what nobody states stays empty. This module does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from model_zoo.catalogue.remote_file import SHA256, RemoteFile
from model_zoo.catalogue.scores import CardScore
from model_zoo.config import Config
from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.parsing import read_toml

DATA = Path(__file__).with_name("public")
"""TOML files with the entries; ``model_zoo.catalogue.public`` is this module, not that folder."""

PRESETS = Path(__file__).with_name("presets.toml")

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")

Consent = Literal["", "non-commercial", "no grant"]

SUFFIXES = (".safetensors", ".yaml", ".ckpt", ".onnx", ".pth", ".pt", ".th")
"""Suffixes that other programs add to the names of models."""

METRIC = "SDR"

DATASETS = (
    "Multisong (MVSep)",
    "MUSDB18 test",
    "MUSDB18-HQ test",
    "DrumSep test",
    "not stated",
    "MUSDB18 train",
)
"""Data of published scores. Most networks have scores of the first; songs of the last may be among
those that a network was trained on."""

BUILT_VARIANTS = frozenset({"", "amplitude spectrogram", "masked"})
"""Variants of architectures that can be built here; the empty one is the plain architecture."""

HOP_IN_SETTINGS = frozenset({"bs_roformer", "mel_band_roformer", "mdx23c"})
"""Architectures whose hop no tensor tells."""

LARGEST_SETTINGS = 2**20
"""Most bytes of an authors' YAML file; those that are published have about 2,000."""

HUB = "huggingface.co"
PINNED = re.compile(r"/[^/]+/[^/]+/resolve/[0-9a-f]{40}/.+")
"""Path of an address of the hub that names a commit."""


@dataclass(frozen=True)
class PublicOptions(Config):
    """Settings of a network that the shapes of its weights cannot tell, as registries state them.

    Attributes:
        n_fft: window of the spectrogram in samples; 0 if not stated.
        hop: hop of the spectrogram in samples; 0 if not stated.
        chunk: length of a chunk in samples; 0 if not stated.
        overlap: overlap of chunks as a fraction of a chunk; None if not stated.
        channels: channels that the network takes at once.
        target: the one stem of several that the weights were trained for.
        band_ratios: shares of SCNet's bands; empty if not stated.
        skip_connection: whether the layers of a RoFormer have skip connections.
        zero_dc: whether a RoFormer removes 0 Hz; None as its authors' training program does.
        normalize: whether songs are brought to mean 0 and standard deviation 1.
    """

    n_fft: int = 0
    hop: int = 0
    chunk: int = 0
    overlap: float | None = None
    channels: int = 2
    target: str = ""
    band_ratios: tuple[float, ...] = ()
    skip_connection: bool = False
    zero_dc: bool | None = None
    normalize: bool = False

    def mistakes(self) -> list[str]:
        """Refuse lengths below zero, and an overlap with which chunks do not advance."""
        sizes = {"n_fft": self.n_fft, "hop": self.hop, "chunk": self.chunk}
        wrong = [
            f"{key} must not be negative, found {size}" for key, size in sizes.items() if size < 0
        ]
        if self.overlap is not None and not 0 <= self.overlap < 1:
            wrong.append(f"overlap must be from 0 to less than 1, found {self.overlap}")
        if self.channels not in (1, 2):
            wrong.append(f"channels must be 1 or 2, found {self.channels}")
        return wrong


@dataclass(frozen=True)
class PublicModel(Config):
    """A public network: where its weights are, and what authors and registries state about it.

    Attributes:
        name: name for ``--model`` and ``stem models pull``.
        architecture: architecture of the network.
        files: files with the weights, all of them needed; one per stem for Open-Unmix.
        stems: outputs of the network, in its order.
        residual: name of mixture minus all stems; empty if the stems add up to the mixture.
        purpose: kind of task, e.g. ``"vocals"``, ``"karaoke"`` or ``"de-reverb"``.
        variant: what the network has beyond the plain architecture.
        aliases: names of the network in other programs.
        other_files: the same weights in other files, such as the authors' own checkpoint.
        is_pinned: whether the first address of every file names a release or a commit. The content
            behind other addresses might change, which the SHA-256 shows.
        sample_rate: sample rate in Hz.
        options: settings that the shapes of the weights cannot tell.
        config_url: address of the authors' YAML file; empty if our options are enough.
        config_sha256: SHA-256 of that file; empty if nobody states it.
        parameters: number of trainable parameters; 0 if not known.
        licence: licence of the weights, as stated.
        licence_source: who states it.
        consent: what is shown and agreed to before the weights are fetched.
        authors: authors of the weights.
        source: origin of the weights.
        paper: publication that describes the network.
        note: a fact that a user should know.
        scores: published scores.
    """

    name: str
    architecture: str
    files: tuple[RemoteFile, ...]
    stems: tuple[str, ...]
    residual: str = ""
    purpose: str = ""
    variant: str = ""
    aliases: tuple[str, ...] = ()
    other_files: tuple[RemoteFile, ...] = ()
    is_pinned: bool = True
    sample_rate: int = 44100
    options: PublicOptions = field(default_factory=PublicOptions)
    config_url: str = ""
    config_sha256: str = ""
    parameters: int = 0
    licence: str = "not stated"
    licence_source: str = ""
    consent: Consent = ""
    authors: str = ""
    source: str = ""
    paper: str = ""
    note: str = ""
    scores: tuple[CardScore, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """All outputs: the stems, then the residual if it has a name."""
        return (*self.stems, self.residual) if self.residual else self.stems

    @property
    def settings_file(self) -> RemoteFile | None:
        """The authors' YAML file if the network cannot be built without it; else None."""
        if self.architecture not in HOP_IN_SETTINGS or self.options.hop or not self.config_sha256:
            return None
        return RemoteFile(self.config_url, self.config_sha256, largest=LARGEST_SETTINGS)

    @property
    def downloads(self) -> tuple[RemoteFile, ...]:
        """All files to fetch: those with the weights, then the YAML file if it is needed."""
        return (*self.files, self.settings_file) if self.settings_file else self.files

    @property
    def size(self) -> int:
        """Bytes of the weights to fetch; 0 if the size of a file is not known."""
        sizes = [file.size for file in self.files]
        return sum(sizes) if all(sizes) else 0

    @property
    def refusal(self) -> str:
        """Why the network cannot be used, in a sentence without a full stop; empty if it can."""
        if self.variant in BUILT_VARIANTS:
            return ""
        kind = f"a network of the architecture {self.architecture}"
        return f"{self.name} is {kind} with {self.variant}, which cannot be built yet"

    def sdr(self, stem: str = "") -> CardScore | None:
        """A published SDR, of the definition that says most; None if there is none.

        Args:
            stem: a stem; by default the vocals, or the first stem of a network without vocals.
        """
        return shown_score(self.scores, self.stems, stem)

    def mistakes(self) -> list[str]:
        """Rules for the fields: conditions of mistakes and their messages."""
        return [sentence for wrong, sentence in self._rules() if wrong]

    def _rules(self) -> Iterator[tuple[bool, str]]:
        yield (
            not NAME.fullmatch(self.name),
            f"a name has lower-case letters, digits and _, found {self.name!r}",
        )
        yield not self.files, "files must name at least one file"
        yield not self.stems, "stems must name at least one stem"
        yield len(set(self.outputs)) < len(self.outputs), "two outputs have the same name"
        yield self.sample_rate < 1, f"sample_rate must be positive, found {self.sample_rate}"
        yield (
            self.is_pinned != all(map(is_pinned, (file.url for file in self.files))),
            "is_pinned does not fit the addresses",
        )
        yield (
            self.config_sha256 != "" and not SHA256.fullmatch(self.config_sha256),
            "config_sha256 must be 64 hexadecimal digits",
        )
        odd = {score.dataset for score in self.scores} - set(DATASETS)
        yield odd != set(), f"no rank for the data {', '.join(sorted(odd))}"
        yield (
            self.config_sha256 != "" and self.config_url == "",
            "config_sha256 needs config_url",
        )


@dataclass(frozen=True)
class Preset(Config):
    """Several public networks that are used together.

    Attributes:
        name: name of the preset.
        members: names of the networks.
        stems: outputs of the preset.
        weights: for each member, its weight in each stem; empty if all members count alike. A
            member whose weights are all zero but one is the only network that a stem needs.
        method: how estimates of the same stem are joined.
        domain: whether waves are joined, or the bins of their spectrograms.
        aliases: names of the preset in other programs.
        description: one sentence.
        source: who proposes the preset.
    """

    name: str
    members: tuple[str, ...]
    stems: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...] = ()
    method: Literal["mean", "median", "min", "max"] = "mean"
    domain: Literal["waves", "spectra"] = "waves"
    aliases: tuple[str, ...] = ()
    description: str = ""
    source: str = ""

    def mistakes(self) -> list[str]:
        """Rules for the fields: conditions of mistakes and their messages."""
        return [sentence for wrong, sentence in self._rules() if wrong]

    def _rules(self) -> Iterator[tuple[bool, str]]:
        yield not NAME.fullmatch(self.name), f"{self.name!r} is not a name"
        yield not self.members, "members must name at least one network"
        yield not self.stems, "stems must name at least one stem"
        rows, columns = len(self.members), len(self.stems)
        fits = len(self.weights) == rows and all(len(row) == columns for row in self.weights)
        yield self.weights != () and not fits, f"weights must be {rows} rows of {columns} numbers"
        yield any(each < 0 for row in self.weights for each in row), "weights must not be negative"
        columns_of = zip(*self.weights, strict=False)
        yield any(not any(column) for column in columns_of), "every stem needs a weight above 0"
        yield (
            self.weights != () and self.method != "mean",
            f"weights are for the mean, found {self.method}",
        )


def shown_score(
    scores: Iterable[CardScore], stems: Sequence[str], stem: str = ""
) -> CardScore | None:
    """The SDR that lists show: that of one stem, on the data that come first in ``DATASETS``.

    Args:
        scores: scores of a model.
        stems: stems of that model.
        stem: one of its outputs; by default the vocals, or its first stem if it has no vocals.
    """
    wanted = stem or ("vocals" if "vocals" in stems else next(iter(stems), ""))
    found = [each for each in scores if each.metric == METRIC and each.stem == wanted]
    return min(found, key=place, default=None)


def place(score: CardScore | None) -> int:
    """Place of the data of a score; other data, such as those of your own models, follow."""
    if score is None:
        return len(DATASETS) + 1
    return DATASETS.index(score.dataset) if score.dataset in DATASETS else len(DATASETS)


def is_pinned(url: str) -> bool:
    """Whether an address names a release or a commit; False for a branch of the hub."""
    parts = urlsplit(url)
    return parts.hostname != HUB or PINNED.fullmatch(parts.path) is not None


def public_models() -> Mapping[str, PublicModel]:
    """All entries by name, architecture by architecture.

    Raises:
        CheckpointError: a data file is damaged.
    """
    return _catalogue()[0]


def public_names() -> Collection[str]:
    """All names of the entries, and what other programs call them, as :func:`plain` spells them."""
    return _catalogue()[1].keys()


def find_public(name: str) -> PublicModel | None:
    """The entry with this name or alias, whatever its case, dashes and suffix; None if none has."""
    models, names = _catalogue()
    found = names.get(plain(name))
    return models[found] if found else None


def find_by_sha256(sha256: str) -> PublicModel | None:
    """The entry that has a file with this SHA-256, in lower-case hexadecimal; None if none has."""
    models = public_models().values()
    found = (
        one for one in models for file in (*one.files, *one.other_files) if file.sha256 == sha256
    )
    return next(found, None)


@cache
def presets() -> Mapping[str, Preset]:
    """All presets by name.

    Raises:
        CheckpointError: the data file is damaged.
    """
    return {preset.name: preset for preset in _read(PRESETS, "presets", Preset)}


def find_preset(name: str) -> Preset | None:
    """The preset with this name or alias, as :func:`find_public` compares them."""
    wanted = plain(name)
    found = (
        each for each in presets().values() if wanted in {each.name, *map(plain, each.aliases)}
    )
    return next(found, None)


def plain(name: str) -> str:
    """A name as it is compared: lower case, ``_`` for dashes, colons and spaces, no file suffix."""
    small = name.casefold()
    suffix = next((each for each in SUFFIXES if small.endswith(each)), "")
    return re.sub(r"[-\s:]", "_", small.removesuffix(suffix))


@cache
def _catalogue() -> tuple[Mapping[str, PublicModel], Mapping[str, str]]:
    """Entries by name, and their names by everything that they are called."""
    files = sorted(DATA.glob("*.toml"))
    models = {model.name: model for path in files for model in _read(path, "models", PublicModel)}
    called = {plain(alias): model.name for model in models.values() for alias in model.aliases}
    return models, called | {name: name for name in models}


def _read(path: Path, key: str, kind: type[Any]) -> list[Any]:
    """Read the list ``key`` of a data file.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return [kind.from_dict(values) for values in read_toml(path)[key]]
    except (OSError, ValueError, KeyError, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged ({error}). Install the program again") from error
