"""Converts checkpoints of MSRKit, Spleeter and Open-Unmix to models of the zoo."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model_zoo import registry
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.names import check_free
from model_zoo.catalogue.unknown import not_usable
from model_zoo.errors import CheckpointError, ConfigError, NoModelError
from model_zoo.files import sha256
from model_zoo.importers import msrkit, open_unmix, spleeter, tensorflow
from model_zoo.importers.unpickle import state_dict
from model_zoo.option_names import option
from model_zoo.separator import Separator
from model_zoo.weight_checks import require_fit, shapes_of
from model_zoo.weights import load_tensors

PathLike = str | os.PathLike[str]

PROGRAMS = {"spleeter": "Spleeter", "open_unmix": "Open-Unmix"}
"""Programs by architecture; all others are MSRKit's."""

USUAL = msrkit.GeneratorOptions()
OURS = re.compile(r"^fourier\.|\.num_batches_tracked$")
"""Tensors of our networks that the checkpoints do not have."""


def convert(
    path: PathLike | Sequence[PathLike],
    *,
    name: str,
    stems: Sequence[str] = (),
    residual: str = "",
    num_heads: int | None = None,
    hop_size: int | None = None,
    sample_rate: int | None = None,
    licence: str = "not stated",
    overwrite: bool = False,
) -> Card:
    """Convert a network of MSRKit, Spleeter or Open-Unmix to a model of the user's zoo.

    Args:
        path: PyTorch or safetensors file, folder of a Spleeter model, or one PyTorch file per stem
            of a model of Spleeter or Open-Unmix.
        name: name of the new model.
        stems: names of the stems. By default the file's name for MSRKit (``Guitar.pth``), and for
            Spleeter the names in its file names, or those of the published model, and for
            Open-Unmix the names of the files (``vocals-b62c91ce.pth``).
        residual: name of the mixture without the stem; by default ``no_STEM``. Full sets of stems
            have none.
        num_heads: heads of MelRoFormer, which shapes do not reveal. Usually 4.
        hop_size: hop in samples, which shapes do not reveal. Usually a quarter of the window.
        sample_rate: sample rate in Hz; found by MSRKit's mel bands, and only checked if given. For
            Open-Unmix usually 44,100.
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
    options = msrkit.GeneratorOptions(num_heads, hop_size, sample_rate)
    try:
        separator = read_network(sources, tuple(stems), options)
    except CheckpointError as error:
        reason = not_usable(sources[0].name)
        if not reason or not sources[0].exists():
            raise
        raise NoModelError(f"{sources[0]} cannot be converted: {reason}") from error
    card = _card(separator, name, sources, residual, licence)
    digests = " ".join(sha256(file) for source in sources for file in _files(source))
    return install(separator, card, {"source_sha256": digests}, overwrite=overwrite)


def read_network(
    sources: Sequence[Path], stems: tuple[str, ...] = (), options: msrkit.GeneratorOptions = USUAL
) -> Separator:
    """Read a network from files of another program.

    Args:
        sources: files or a folder, as for :func:`convert`.
        stems: names of the stems; empty for the usual ones.
        options: options that MSRKit's files do not reveal.

    Raises:
        ConfigError: an option contradicts the files.
        CheckpointError: a file is missing, damaged, unsafe or of an unknown layout.
    """
    index = tensorflow.index_file(sources[0])
    if index:
        _spleeter_config(spleeter.from_tensorflow(tensorflow.described(index)), stems, index)
        return _spleeter(spleeter.from_tensorflow(tensorflow.read(index)), stems, index)
    tensors = [state_dict(source) for source in sources]
    if all(spleeter.FILE_MARK in each for each in tensors):
        unets = [spleeter.from_torch(each) for each in tensors]
        return _spleeter(unets, stems or _mentioned(sources), sources[0])
    if all(map(open_unmix.is_target, tensors)):
        return _open_unmix(tensors, stems or open_unmix.stems_of(sources), options, sources[0])
    if len(sources) > 1:
        raise NoModelError(
            "Only models of Spleeter and Open-Unmix have one file per stem: convert one file"
        )
    return _msrkit(tensors[0], stems, options, sources[0])


def _spleeter(unets: Sequence[spleeter.Tensors], stems: tuple[str, ...], origin: Path) -> Separator:
    config, tensors = _spleeter_config(unets, stems, origin)
    separator = registry.build("spleeter", config)
    ours = {name: value for name, value in separator.state_dict().items() if OURS.search(name)}
    load_tensors(separator, {**ours, **tensors}, origin=str(origin))
    return separator


def _open_unmix(
    targets: Sequence[spleeter.Tensors],
    stems: tuple[str, ...],
    options: msrkit.GeneratorOptions,
    origin: Path,
) -> Separator:
    config, tensors = open_unmix.assemble(targets, stems, options)
    registry.architecture("open_unmix").Config.from_dict(config)  # the user's mistakes first
    shapes = shapes_of(tensors) | {"fourier.window": (config["window_size"],)}
    require_fit(str(origin), "open_unmix", config, shapes)
    separator = registry.build("open_unmix", config)
    window = separator.state_dict()["fourier.window"]
    load_tensors(separator, {"fourier.window": window, **tensors}, origin=str(origin))
    return separator


def _spleeter_config(
    unets: Sequence[spleeter.Tensors], stems: tuple[str, ...], origin: Path
) -> tuple[dict[str, Any], spleeter.Tensors]:
    """Config and tensors of the separator with these U-Nets; only their shapes are used.

    Raises:
        CheckpointError: the tensors do not fit together.
    """
    config, tensors = spleeter.assemble(unets, stems)
    shapes = shapes_of(tensors)
    # Spleeter's files have neither the STFT window nor the batch counters of training.
    norms = (name for name in shapes if name.endswith("running_mean"))
    counters = {name.replace("running_mean", "num_batches_tracked"): () for name in norms}
    require_fit(str(origin), "spleeter", config, shapes | {"fourier.window": (4096,)} | counters)
    return config, tensors


def _mentioned(sources: Sequence[Path]) -> tuple[str, ...]:
    """Stems in the names of the files, as in ``spleeter-vocals.ckpt``; empty if there are none.

    Raises:
        ConfigError: some are named after stems and others are not.
    """
    known = {stem: stem for stems, _ in spleeter.MODELS.values() for stem in stems}
    known["accompaniment"] = "instrumental"
    found = [
        next((known[word] for word in re.split("[^a-z]+", name) if word in known), "")
        for name in (source.stem.lower() for source in sources)
    ]
    if any(found) and not all(found):
        stem = option("stems", "--stem")
        strange = sources[found.index("")].name
        raise ConfigError(stem, [f"{strange} is not named after a stem: use {stem} for each file"])
    return tuple(found) if all(found) else ()


def _msrkit(
    tensors: spleeter.Tensors,
    stems: tuple[str, ...],
    options: msrkit.GeneratorOptions,
    source: Path,
) -> Separator:
    if len(stems) > 1:
        raise ConfigError(
            option("stems", "--stem"), ["a generator of MSRKit extracts one stem: name one"]
        )
    stem = stems[0] if stems else re.sub(r"[^a-z0-9]+", "_", source.stem.lower()).strip("_")
    architecture, config = msrkit.infer(tensors, options)
    config["stems"] = [stem]
    registry.architecture(architecture).Config.from_dict(config)  # report the user's mistakes first
    require_fit(str(source), architecture, config, shapes_of(tensors))
    separator = registry.build(architecture, config)
    load_tensors(separator, tensors, origin=str(source))
    return separator


def _card(
    separator: Separator, name: str, sources: Sequence[Path], residual: str, licence: str
) -> Card:
    stems, files = separator.stems, ", ".join(source.name for source in sources)
    is_full_set = len(stems) > 1
    if residual and is_full_set:
        raise ConfigError(
            option("residual"), [f"{', '.join(stems)} are the whole song: leave it out"]
        )
    return Card(
        name=name,
        architecture=registry.name_of(separator),
        description=f"{type(separator).__name__} for {', '.join(stems)}, converted from {files}.",
        stems=stems,
        residual="" if is_full_set else residual or f"no_{stems[0]}",
        licence=licence,
        source=f"{PROGRAMS.get(registry.name_of(separator), 'MSRKit')} checkpoint {files}",
    )


def _files(source: Path) -> list[Path]:
    """Files of a source: itself, or index and values of a TensorFlow checkpoint."""
    index = tensorflow.index_file(source)
    return [index, *sorted(index.parent.glob(f"{index.stem}.data-*"))] if index else [source]
