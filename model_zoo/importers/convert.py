"""Converts checkpoints of other programs to models of the zoo."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from model_zoo import registry
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.names import check_free
from model_zoo.catalogue.public import PublicModel
from model_zoo.catalogue.unknown import not_usable
from model_zoo.errors import CheckpointError, ConfigError, MisfitError, NoModelError
from model_zoo.files import sha256
from model_zoo.importers import (
    demucs,
    mdx23c,
    msrkit,
    onnx_file,
    open_unmix,
    roformer,
    scnet,
    spleeter,
    tensorflow,
)
from model_zoo.importers.archive import unpacked
from model_zoo.importers.family import Checkpoint, Choices, Family, ForeignNetwork
from model_zoo.importers.other_files import refuse_other_files
from model_zoo.importers.published import PublicNetwork, described, known_files
from model_zoo.importers.settings import Settings, read_settings
from model_zoo.importers.unpickle import read_checkpoint
from model_zoo.option_names import option
from model_zoo.parsing import shortened
from model_zoo.separator import Separator
from model_zoo.weight_checks import require_fit, shapes_of
from model_zoo.weights import load_tensors

PathLike = str | os.PathLike[str]

FAMILIES: tuple[Family, ...] = (
    spleeter.FAMILY,
    open_unmix.FAMILY,
    demucs.FAMILY,
    scnet.FAMILY,
    mdx23c.FAMILY,
    roformer.FAMILY,
    msrkit.FAMILY,
)
"""All families; the first that recognizes the tensors of all files reads them."""


def install_public(model: PublicModel, paths: Sequence[Path], *, overwrite: bool = False) -> Card:
    """Install a published network from its files.

    Args:
        model: its entry in the catalogue.
        paths: its verified files, as :attr:`PublicModel.downloads` lists them.
        overwrite: replace a model of the user with this name.

    Raises:
        ConfigError: the name is bundled or taken, or an option contradicts the files.
        CheckpointError: a file is missing, damaged, unsafe or of another architecture.
        OutputError: the zoo is not writable.
    """
    check_free(model.name, overwrite)
    public = described(model)
    sources = [*paths[: len(model.files)]]
    settings = read_settings(paths[-1]) if model.settings_file else Settings()
    choices = Choices(public.stems, {} if model.settings_file else public.options, settings)
    program, network = _read(sources, choices)
    if network.architecture != public.architecture:
        raise CheckpointError(
            f"{paths[0]} holds a network {network.architecture} instead of {public.architecture}. "
            "Download it again"
        )
    facts = {"residual": public.residual, **public.facts, "name": model.name}
    return _install(program, network, sources, facts, overwrite)


def convert(
    path: PathLike | Sequence[PathLike],
    *,
    name: str,
    config: PathLike | None = None,
    stems: Sequence[str] = (),
    residual: str = "",
    num_heads: int | None = None,
    hop_size: int | None = None,
    sample_rate: int | None = None,
    licence: str = "not stated",
    overwrite: bool = False,
) -> Card:
    """Convert a network of another program to a model of the user's zoo.

    The card of published files that are known says what is known about them.

    Args:
        path: PyTorch, safetensors or ONNX file, folder of a Spleeter model, or one PyTorch file per
            stem of a model of Spleeter or Open-Unmix.
        name: name of the new model.
        config: configuration file (YAML) of Music-Source-Separation-Training for public Roformers,
            SCNet and MDX23C: their tensors do not tell hop, chunks and names of stems.
        stems: names of the stems. By default those of ``config`` or of the checkpoint, else of
            the published model; for MSRKit and Open-Unmix the names of the files
            (``Guitar.pth``, ``vocals-b62c91ce.pth``).
        residual: name of the mixture without the stems; by default that of ``config``, or
            ``no_STEM`` of a single stem. Full sets of stems have none.
        num_heads: heads of MelRoFormer and HTDemucs, which shapes do not reveal. Usually 4 and 8.
        hop_size: hop in samples, which shapes do not reveal. For MSRKit usually a quarter of the
            window.
        sample_rate: sample rate in Hz; found by mel bands, and only checked if given. For others
            usually 44,100.
        licence: licence of the weights, as their source states it.
        overwrite: replace a model of the user with this name.

    Raises:
        ConfigError: the name is bundled or taken, or an option contradicts the file.
        CheckpointError: a file is missing, damaged, unsafe or of an unknown layout.
        OutputError: the zoo is not writable.
    """
    check_free(name, overwrite)
    paths = [path] if isinstance(path, (str, os.PathLike)) else path
    sources = [Path(each) for each in paths]
    settings = read_settings(Path(config)) if config else Settings()
    given = {"num_heads": num_heads, "hop_size": hop_size, "sample_rate": sample_rate}
    stated = {key: value for key, value in given.items() if value is not None}
    known = _known(sources) or PublicNetwork("")
    options = stated if config else {**known.options, **stated}
    known = known.overruled(settings) if config else known
    choices = Choices(tuple(stems) or known.stems, options, settings)
    facts = {**known.facts, "name": name, "residual": residual or known.residual}
    facts |= {"licence": licence} if licence != Card.licence else {}
    with onnx_file.folding_explained(sources):
        program, network = _read(sources, choices)
        return _install(program, network, sources, facts, overwrite)


def read_network(sources: Sequence[Path], stems: tuple[str, ...] = ()) -> Separator:
    """Read a network from files of another program.

    Args:
        sources: files or a folder, as for :func:`convert`.
        stems: names of the stems; empty for the usual ones.

    Raises:
        ConfigError: an option contradicts the files.
        CheckpointError: a file is missing, damaged, unsafe or of an unknown layout.
    """
    _, network = _read(sources, Choices(stems))
    return _built(network, str(sources[0]))


def _known(sources: Sequence[Path]) -> PublicNetwork | None:
    are_files = all(source.is_file() for source in sources)
    return known_files([sha256(source) for source in sources]) if are_files else None


def _read(sources: Sequence[Path], choices: Choices) -> tuple[str, ForeignNetwork]:
    """Name of the program that files come from, and the network in them."""
    with ExitStack() as stack:
        checkpoints = [_checkpoint(stack.enter_context(unpacked(source))) for source in sources]
        family = _family(checkpoints)
        return family.program, family.read(checkpoints, choices)


def _checkpoint(source: Path) -> Checkpoint:
    """Tensors of a file; of a TensorFlow checkpoint only names and shapes."""
    index = tensorflow.index_file(source)
    if index:
        return Checkpoint(source, tensorflow.described(index))
    refuse_other_files(source)
    read = onnx_file.read if onnx_file.is_onnx(source) else read_checkpoint
    return Checkpoint(source, *read(source))


def _family(checkpoints: Sequence[Checkpoint]) -> Family:
    for family in FAMILIES:
        if all(family.recognizes(each.tensors) for each in checkpoints):
            if len(checkpoints) > 1 and not family.has_file_per_stem:
                break
            return family
    if len(checkpoints) > 1:
        several = " and ".join(each.program for each in FAMILIES if each.has_file_per_stem)
        raise NoModelError(f"Only models of {several} have one file per stem: convert one file")
    path, tensors, _ = checkpoints[0]
    if reason := not_usable(path.name):
        raise NoModelError(f"{path} cannot be converted: {reason}")
    programs = ", ".join(each.program for each in FAMILIES)
    first = shortened(next(iter(sorted(tensors)), "none"))
    raise MisfitError(
        f"{path} holds no network that can be converted (its first tensor is {first}). "
        f"Convert a checkpoint of {programs}"
    )


def _built(network: ForeignNetwork, origin: str) -> Separator:
    """Our network with the tensors of a foreign one."""
    architecture, config = network.architecture, network.config
    try:
        registry.architecture(architecture).Config.from_dict(config)
    except ConfigError as error:
        raise ConfigError(f"{origin} cannot be converted", error.mistakes) from None
    require_fit(origin, architecture, config, shapes_of(network.tensors) | dict(network.constants))
    separator = registry.build(architecture, config)
    ours = separator.state_dict()
    constants = {name: ours[name] for name in network.constants}
    load_tensors(separator, {**constants, **network.tensors}, origin=origin)
    return separator


def _install(
    program: str,
    network: ForeignNetwork,
    sources: Sequence[Path],
    facts: Mapping[str, Any],
    overwrite: bool,
) -> Card:
    separator = _built(network, str(sources[0]))
    digests = {file: sha256(file) for source in sources for file in _files(source)}
    names = ", ".join(source.name for source in sources)
    digest = (
        f" (SHA-256 {digests[sources[0]]})"
        if [*digests] == [*sources] and len(sources) == 1
        else ""
    )
    stated = {key: value for key, value in facts.items() if value != ""}
    described = {
        "architecture": network.architecture,
        "description": f"{type(separator).__name__} for {', '.join(separator.stems)}, "
        f"converted from {names}.",
        "stems": separator.stems,
        "residual": _residual(network, separator.stems, stated.get("residual", "")),
        "source": f"{program} checkpoint {names}{digest}",
        "grid": network.grid,
        "level": network.level,
    }
    overlap = {} if network.overlap is None else {"overlap": network.overlap}
    card = Card(**{**described, **overlap, **stated, "residual": described["residual"]})
    metadata = {"source_sha256": " ".join(digests.values())}
    half = any(value.dtype == torch.float16 for value in network.tensors.values())
    return install(separator, card, metadata, half=half, overwrite=overwrite)


def _residual(network: ForeignNetwork, stems: Sequence[str], named: str) -> str:
    if named and network.is_whole:
        raise ConfigError(
            option("residual"), [f"{', '.join(stems)} are the whole song: leave it out"]
        )
    return named or network.residual


def _files(source: Path) -> list[Path]:
    """Files of a source: itself, or index and values of a TensorFlow checkpoint."""
    index = tensorflow.index_file(source)
    return [index, *sorted(index.parent.glob(f"{index.stem}.data-*"))] if index else [source]
